"""`GET /v1/jobs/{job}/events`: what a reader hears, when it comes back, and when it leaves."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from services.api.app import make_app
from services.desk import Desk
from services.teaching import job_watch
from tests.guess.sharing import shared_enough
from tests.services.conftest import client_of
from tests.services.job_tools import FLEET, open_desk, report, submit
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.jobs.guess_order import read_order
from textinv.jobs.guess_submission import submit_guess
from textinv.registry import Registry
from textinv.store.memory import MemoryStore
from textinv.store.protocol import StoredObject

pytestmark = pytest.mark.anyio


class CountingStore(MemoryStore):
    """Counts how often a status is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.num_looks = 0

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        self.num_looks += key.endswith("/status.json")
        return super().get_if_changed(key, etag)


class Reader:
    """Reads a stream as a connection that can be closed, and keeps what came."""

    def __init__(self, desk: Desk, url: str, last_event_id: str = "") -> None:
        self.text = ""
        self._gone = asyncio.Event()
        headers = [(b"host", b"localhost")]
        headers += [(b"last-event-id", last_event_id.encode())] if last_event_id else []
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": "GET",
            "path": url,
            "raw_path": url.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 40000),
            "server": ("service", 80),
        }
        self.task = asyncio.ensure_future(make_app(desk)(scope, self._receive, self._send))

    @property
    def events(self) -> list[dict[str, Any]]:
        blocks = [block for block in self.text.split("\n\n") if "data: " in block]
        return [json.loads(block.partition("data: ")[2]) for block in blocks]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def last_id(self) -> str:
        return self.text.rpartition("id: ")[2].partition("\n")[0]

    async def until(self, kind: str, count: int = 1) -> dict[str, Any]:
        async with asyncio.timeout(20):
            while self.kinds.count(kind) < count:
                await asyncio.sleep(0.02)
        return [event for event in self.events if event["type"] == kind][-1]

    async def leave(self) -> None:
        self._gone.set()
        async with asyncio.timeout(5):
            await self.task

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self.text += message.get("body", b"").decode()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> CountingStore:
    monkeypatch.setattr(job_watch, "EVERY_S", 0.1)
    return CountingStore()


@pytest.fixture
def desk(store: CountingStore) -> Desk:
    return open_desk(store)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


@pytest.fixture
async def record(client: httpx.AsyncClient, store: CountingStore) -> JobRecord:
    return JobStore(store).load((await submit(client, "fox", "hen"))["id"])


def url_of(record: JobRecord) -> str:
    return f"/v1/jobs/{record.id}/events"


async def test_a_reader_hears_how_far_a_guess_is_as_the_state_of_its_job(desk: Desk, store: CountingStore) -> None:
    shared_enough(store, "c0ffee")
    record = submit_guess(Registry(store), "colours", "c0ffee", steps=9, fleet=FLEET).record
    reader = Reader(desk, url_of(record))
    snapshot = await reader.until("job.snapshot")
    assert (snapshot["job"]["kind"], snapshot["job"]["concepts"], snapshot["job"]["guess"]["state"]) == (
        "guess",
        [],
        "waiting",
    )
    fingerprint = read_order(store, record.id).fingerprint
    for state, kind, fields in (
        ("running", "job.state", {"step": 4, "loss": 0.5}),
        ("failed", "job.end", {"problem": "error: it broke"}),
    ):
        one = ConceptStatus(name="guess", fingerprint=fingerprint, state=state, max_steps=9, **fields)
        status = JobStatus(job_id=record.id, name=record.name, generation=1, state=state, concepts=(one,))
        JobStore(store).write_status(status)
        told = (await reader.until(kind))["job"]["guess"]
        assert (told["state"], told["max_steps"]) == (state, 9)
    assert told["failure"]["message"] == "it broke"
    assert set(reader.kinds) == {"job.snapshot", "job.state", "job.end"}


async def test_a_reader_hears_progress_previews_states_and_the_end(
    desk: Desk, store: CountingStore, record: JobRecord
) -> None:
    reader = Reader(desk, url_of(record))
    snapshot = await reader.until("job.snapshot")
    assert [one["state"] for one in snapshot["job"]["concepts"]] == ["waiting", "waiting"]
    report(store, record, step=5, loss=0.4, curve=((0, 0.5), (5, 0.4)))
    progress = await reader.until("concept.progress")
    assert (progress["name"], progress["step"]) == ("fox", 5)
    assert progress["points"] == [{"step": 0, "loss": 0.5}, {"step": 5, "loss": 0.4}]
    assert (await reader.until("concept.state"))["concept"]["state"] == "running"
    report(store, record, step=10, loss=0.3, curve=((0, 0.5), (5, 0.4), (10, 0.3)), previews=(10,))
    preview = await reader.until("concept.preview")
    assert preview["url"] == f"/v1/jobs/{record.id}/concepts/fox/previews/10"
    assert (await reader.until("concept.progress", 2))["points"] == [{"step": 10, "loss": 0.3}]
    curve = ((0, 0.5), (5, 0.4), (10, 0.3))
    report(store, record, step=10, loss=0.3, curve=curve, previews=(10,), stopped="converged")
    scored = (await reader.until("concept.state", 2))["concept"]
    assert (scored["state"], scored["stopped"]) == ("running", "converged")
    report(store, record, "done", "done", step=10, version=1, stopped="converged")
    end = await reader.until("job.end")
    assert end["job"]["state"] == "done"
    async with asyncio.timeout(5):
        await reader.task
    done = [event for event in reader.events if event["type"] == "concept.state"][-1]["concept"]
    assert (done["version"], done["stopped"]) == (1, "converged")
    assert "no longer fell" in done["why_stopped"]
    assert reader.kinds[-1] == "job.end"
    assert reader.text.startswith("retry: 2000\n\n")


async def test_a_reader_that_comes_back_goes_on_where_it_was(
    desk: Desk, store: CountingStore, record: JobRecord
) -> None:
    first = Reader(desk, url_of(record))
    await first.until("job.snapshot")
    report(store, record, step=5, loss=0.4, curve=((5, 0.4),))
    await first.until("job.state")
    await first.leave()
    report(store, record, step=10, loss=0.3, curve=((5, 0.4), (10, 0.3)))
    again = Reader(desk, url_of(record), first.last_id)
    progress = await again.until("concept.progress")
    assert progress["points"] == [{"step": 10, "loss": 0.3}]
    assert "job.snapshot" not in again.kinds
    await again.leave()
    for unknown in ("ffffffff-3", f"{first.last_id.partition('-')[0]}-99999", "rubbish", "-1"):
        other = Reader(desk, url_of(record), unknown)
        await other.until("job.snapshot")
        await other.leave()


async def test_a_job_that_is_over_is_shown_and_ended_at_once(
    desk: Desk, store: CountingStore, record: JobRecord
) -> None:
    report(store, record, "failed", "failed", problem="diverged: up")
    reader = Reader(desk, url_of(record))
    await reader.until("job.end")
    assert [kind for kind in reader.kinds if kind in ("job.snapshot", "job.end")] == ["job.snapshot", "job.end"]


async def test_many_readers_look_as_often_as_one_and_none_looks_when_all_have_left(
    desk: Desk, store: CountingStore, record: JobRecord
) -> None:
    report(store, record, step=5, loss=0.4)
    readers = [Reader(desk, url_of(record)) for _ in range(20)]
    for reader in readers:
        await reader.until("job.snapshot")
    before = store.num_looks
    await asyncio.sleep(1.0)
    assert 5 <= store.num_looks - before <= 12  # one in 0.1 s
    for reader in readers:
        await reader.leave()
    before = store.num_looks
    await asyncio.sleep(0.4)
    assert store.num_looks == before


async def test_a_silent_job_is_kept_alive_by_comments(
    desk: Desk, record: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.api.jobs.events.HEARTBEAT_S", 0.2)
    reader = Reader(desk, url_of(record))
    async with asyncio.timeout(10):
        while reader.text.count(": alive\n\n") < 2:
            await asyncio.sleep(0.05)
    assert reader.kinds == ["job.snapshot"]
    await reader.leave()


async def test_a_reader_keeps_the_fleet_alive(desk: Desk, record: JobRecord) -> None:
    asked = desk.learning.fleet.num_asked  # type: ignore[attr-defined]
    reader = Reader(desk, url_of(record))
    async with asyncio.timeout(20):
        while desk.learning.fleet.num_asked == asked:  # type: ignore[attr-defined]
            await asyncio.sleep(0.05)
    await reader.leave()
