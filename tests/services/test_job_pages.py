"""Jobs by the page, and the concepts of large ones by the page: on a store in memory, as they take many requests."""

from collections.abc import AsyncIterator

import httpx
import pytest
import torch

from services.desk import Desk
from tests.services.conftest import client_of
from tests.services.job_tools import open_desk, report, submit
from textinv.embedding import Embedding
from textinv.jobs import JobStore
from textinv.store.memory import MemoryStore
from textinv.training.checkpoint import Checkpoint

pytestmark = pytest.mark.anyio


@pytest.fixture
def desk(store: MemoryStore) -> Desk:
    return open_desk(store)


@pytest.fixture
def job_store(store: MemoryStore) -> JobStore:
    return JobStore(store)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


async def test_jobs_are_listed_by_page_and_by_state(client: httpx.AsyncClient, job_store: JobStore) -> None:
    ids = [(await submit(client, f"fox-{number}"))["id"] for number in range(3)]
    listed: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await client.get("/v1/jobs", params={"limit": 2, "after": after})).json()
        listed += [job["id"] for job in page["data"]]
        after = page["next"]
    assert sorted(listed) == sorted(ids)
    report(job_store.store, job_store.load(ids[0]), "running", step=5)
    running = (await client.get("/v1/jobs", params={"state": "running"})).json()
    assert ([job["id"] for job in running["data"]], running["total"]) == ([ids[0]], 1)
    assert (await client.get("/v1/jobs", params={"state": "flying"})).status_code == 400


async def test_a_large_job_is_paged_and_each_concept_tells_its_curve_from_wherever_it_lies(
    client: httpx.AsyncClient, desk: Desk, job_store: JobStore
) -> None:
    told = await submit(client, *(f"fox-{number:03d}" for number in range(300)))
    record = job_store.load(told["id"])
    first, *_, second = job_store.specs(record)
    history = [{"step": 0, "loss": 0.5, "train_loss": None}, {"step": 5, "loss": 0.4, "train_loss": 0.6}]
    counters = {"step": 5, "history": history}
    job_store.write_checkpoint(first.fingerprint, Checkpoint(first.fingerprint, counters, {}).to_bytes())
    record_of_second = {"stopped": "converged", "steps": 5, "sample_passes": 20, "seconds": 2.0, "trace": history}
    desk.registry.publish(
        second.name,
        Embedding({"text_encoder": torch.ones(1, 8)}),
        record_of_second,
        fingerprint=second.fingerprint,
        base_model="colours",
        base_revision="c0ffee",
    )
    report(job_store.store, record, step=5, loss=0.4, num_waiting=5)

    page = (await client.get(told["url"], params={"offset": 254, "limit": 4})).json()
    assert [one["name"] for one in page["concepts"]] == ["fox-254", "fox-255", "fox-256", "fox-257"]
    assert page["has_more"] is True
    end = (await client.get(told["url"], params={"offset": 299, "limit": 100})).json()
    assert ([one["name"] for one in end["concepts"]], end["has_more"]) == (["fox-299"], False)
    assert (await client.get(told["url"], params={"offset": 300})).json()["concepts"] == []
    curve = [{"step": 0, "loss": 0.5}, {"step": 5, "loss": 0.4}]
    alone = [(await client.get(f"{told['url']}/concepts/{spec.name}")).json() for spec in (first, second)]
    assert [one["curve"] for one in alone] == [curve, curve]
    assert [one["state"] for one in alone] == ["running", "done"]
    assert (alone[1]["version"], alone[1]["why_stopped"][:8], alone[1]["step"]) == (1, "its loss", 5)
