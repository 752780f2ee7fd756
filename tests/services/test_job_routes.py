"""`/v1/jobs` and `/v1/fleet` on a real store, with a fleet that only notes that it is wanted."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace

import httpx
import pytest
import yaml

from cluster.driver.nodes import NodeFacts
from services.api.jobs import examples as jobs_examples
from services.desk import Desk
from tests.guess.sharing import shared_enough
from tests.services.conftest import client_of
from tests.services.job_tools import FLEET, manifest_of, open_desk, photo, report, submit, upload
from textinv.jobs import Failure, JobStore
from textinv.jobs.fleet import StoredFleet, status_key
from textinv.jobs.guess_submission import submit_guess
from textinv.jobs.previews import write_preview
from textinv.plan.estimate import EVALUATION_PASSES, PINNED_PASSES
from textinv.store import S3Store

pytestmark = [pytest.mark.anyio, pytest.mark.store]


@pytest.fixture
def desk(s3_store: S3Store) -> Desk:
    return open_desk(s3_store)


@pytest.fixture
def job_store(s3_store: S3Store) -> JobStore:
    return JobStore(s3_store)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


async def test_a_dry_run_plans_and_writes_nothing(client: httpx.AsyncClient, desk: Desk, job_store: JobStore) -> None:
    manifest = manifest_of(await upload(client, 1, 2), "fox", "hen", recipe="fast")
    told = (await client.post("/v1/jobs", params={"dry_run": True}, json=manifest)).json()
    assert (told["dry_run"], told["driver"], told["counts"]) == (True, None, {"new": 2, "changed": 0, "done": 0})
    assert told["estimate"]["max_sample_passes"] == 2 * 60 * 4
    assert told["estimate"]["preview_passes"] == 2 * 15
    assert told["estimate"]["evaluation_passes"] == 2 * EVALUATION_PASSES
    assert job_store.jobs() == []
    assert desk.learning.fleet.num_asked == 0  # type: ignore[attr-defined]
    real = (await client.post("/v1/jobs", json=manifest)).json()
    assert real["id"] == told["id"]


async def test_only_pinned_pictures_are_counted_where_there_is_no_clip(client: httpx.AsyncClient, desk: Desk) -> None:
    desk.known_facts = replace(await desk.facts(), has_clip=False)
    fox = manifest_of(await upload(client, 1), "fox")
    told = (await client.post("/v1/jobs", params={"dry_run": True}, json=fox)).json()
    assert told["estimate"]["evaluation_passes"] == PINNED_PASSES


async def test_a_job_is_written_down_as_the_command_line_does_and_the_fleet_is_wanted(
    client: httpx.AsyncClient, desk: Desk, job_store: JobStore
) -> None:
    told = await submit(client, "my-fox", recipe="fast")
    record = job_store.load(told["id"])
    assert (record.fleet, record.name_prefix, record.base_revision) == (FLEET, "my-fox", "c0ffee")
    assert record.id in job_store.open_jobs()
    (spec,) = job_store.spec_sheet(record.id, 0)
    assert (spec.max_steps, spec.preview_every, len(spec.pictures)) == (60, 50, 3)
    assert told["driver"] == {"running": True, "state": "running", "problem": None}
    again = await submit(client, "my-fox", recipe="fast")
    assert (again["id"], len(job_store.jobs())) == (told["id"], 1)


async def test_a_job_says_what_becomes_of_a_version_whose_scores_fell(
    client: httpx.AsyncClient, job_store: JobStore
) -> None:
    fox = manifest_of(await upload(client, 1), "fox")
    by_itself = (await client.post("/v1/jobs", json=fox)).json()
    assert job_store.load(by_itself["id"]).gate == "on"
    told = (await client.post("/v1/jobs", params={"gate": "warn"}, json=fox)).json()
    assert (told["id"], job_store.load(told["id"]).gate) == (by_itself["id"], "warn")
    assert (await client.get(told["url"])).json()["gate"] == "warn"
    refused = await client.post("/v1/jobs", params={"gate": "maybe"}, json=fox)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "gate")


async def test_yaml_is_the_same_manifest_as_json(client: httpx.AsyncClient) -> None:
    manifest = manifest_of(await upload(client, 1), "fox")
    as_json = await client.post("/v1/jobs?dry_run=1", json=manifest | {"revision": None})
    headers = {"content-type": "application/yaml"}
    as_yaml = await client.post("/v1/jobs?dry_run=1", content=yaml.safe_dump(manifest), headers=headers)
    assert as_json.json()["id"] == as_yaml.json()["id"]
    assert as_json.json()["warnings"][0]["field"] == "concepts[0].images"


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"images": ["/etc/passwd"]}, "concepts[0].images[0]"),
        ({"images": "../pictures"}, "concepts[0].images"),
        ({"images": ["~/fox.png"]}, "concepts[0].images[0]"),
        ({"images": "s3://textinv/keys/"}, "concepts[0].images"),
        ({"images": [f"sha256:{'0' * 64}"]}, "concepts[0].images[0]"),
        ({"masks": "/etc"}, "concepts[0].images[0]"),
        ({"init": "file:/etc/passwd"}, "concepts[0].init"),
        ({"name": "Not A Name"}, "concepts[0].name"),
        ({"max_stepps": 5}, "concepts[0].max_stepps"),
        ({"max_steps": 0}, "concepts[0].max_steps"),
    ],
)
async def test_what_a_manifest_from_afar_may_not_say_is_a_400_that_names_the_field(
    client: httpx.AsyncClient, job_store: JobStore, change: dict[str, object], param: str
) -> None:
    manifest = manifest_of(await upload(client, 1), "fox")
    manifest["concepts"][0] |= change
    reply = await client.post("/v1/jobs", json=manifest)
    assert reply.status_code == 400, reply.text
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert reply.json()["error"]["param"] == param
    assert reply.json()["problems"][0]["field"] == param
    assert job_store.jobs() == []


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"\xff\xfe", "application/json"),
        (b"a: [", "application/yaml"),
        (b"", "application/yaml"),
        (b"[" * 100_000, "application/json"),
        (b'{"base_model": "\\ud800", "concepts": []}', "application/json"),
    ],
)
async def test_a_body_that_is_no_manifest_is_a_400(client: httpx.AsyncClient, body: bytes, kind: str) -> None:
    reply = await client.post("/v1/jobs", content=body, headers={"content-type": kind})
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_only_the_base_models_of_the_service_are_learned_on(client: httpx.AsyncClient) -> None:
    manifest = manifest_of(await upload(client, 1), "fox")
    for base_model in ("./model", "/etc", "someone/else", "x" * 5000):
        reply = await client.post("/v1/jobs", json=manifest | {"base_model": base_model})
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, "base_model")


async def test_pictures_under_an_allowed_prefix_are_found_and_others_are_not(s3_store: S3Store) -> None:
    settings = s3_store.settings
    allowed = f"s3://{settings.bucket}/{settings.prefix}/shared/"
    for seed in range(2):
        s3_store.put(f"shared/{seed}.png", photo(seed))
        s3_store.put(f"sharedx/{seed}.png", photo(seed))
    desk = open_desk(s3_store, store_settings=settings, picture_prefixes=[allowed])
    async with client_of(desk) as client:
        good = await client.post("/v1/jobs?dry_run=1", json=manifest_of([], "fox", images=allowed))
        assert good.json()["concepts"][0]["pictures"] == 2
        for images in (allowed[:-1] + "x/", allowed + "../", f"s3://{settings.bucket}/"):
            bad = await client.post("/v1/jobs?dry_run=1", json=manifest_of([], "fox", images=images))
            assert (bad.status_code, bad.json()["error"]["param"]) == (400, "concepts[0].images")


async def test_the_same_idempotency_key_submits_once(client: httpx.AsyncClient, desk: Desk) -> None:
    manifest = manifest_of(await upload(client, 1), "fox")
    headers = {"idempotency-key": "order-1"}
    first = await client.post("/v1/jobs", json=manifest, headers=headers)
    again = await client.post("/v1/jobs", json=manifest, headers=headers)
    assert first.content == again.content
    assert desk.learning.fleet.num_asked == 1  # type: ignore[attr-defined]
    manifest["name"] = "another"
    other = await client.post("/v1/jobs", json=manifest, headers=headers)
    assert (other.status_code, other.json()["error"]["param"]) == (400, "Idempotency-Key")


async def test_a_job_is_shown_with_curve_previews_and_what_is_left(
    client: httpx.AsyncClient, job_store: JobStore
) -> None:
    told = await submit(client, "fox", "hen")
    record = job_store.load(told["id"])
    curve = ((0, 0.5), (5, 0.4))
    report(job_store.store, record, step=50, max_steps=250, loss=0.4, elapsed_s=10.0, curve=curve, previews=(50,))
    write_preview(job_store.store, job_store.spec_sheet(record.id, 0)[0].fingerprint, 50, b"jpeg")
    shown = (await client.get(told["url"])).json()
    assert shown["counts"] == {"waiting": 1, "running": 1, "done": 0, "failed": 0, "cancelled": 0}
    fox, hen = shown["concepts"]
    assert (fox["state"], hen["state"]) == ("running", "waiting")
    assert fox["curve"] == [{"step": 0, "loss": 0.5}, {"step": 5, "loss": 0.4}]
    assert fox["eta_s"] == 40.0
    assert (await client.get(fox["previews"][0]["url"])).content == b"jpeg"
    assert (await client.get(fox["pictures"][0]["thumbnail"])).status_code == 200
    second = (await client.get(told["url"], params={"offset": 1, "limit": 1})).json()
    assert [one["name"] for one in second["concepts"]] == ["hen"]
    waiting = (await client.get(told["url"], params={"state": "waiting"})).json()
    assert [one["name"] for one in waiting["concepts"]] == ["hen"]


async def test_a_failure_is_told_with_what_to_do(client: httpx.AsyncClient, job_store: JobStore) -> None:
    told = await submit(client, "fox")
    record = job_store.load(told["id"])
    fingerprint = job_store.spec_sheet(record.id, 0)[0].fingerprint
    evidence = ({"worker": "crew/0", "step": 3},)
    job_store.write_failure(
        record.id, Failure(fingerprint=fingerprint, name="fox", code="diverged", message="up", evidence=evidence)
    )
    report(job_store.store, record, "failed", concept_state="failed", problem="diverged: up")
    (concept,) = (await client.get(told["url"])).json()["concepts"]
    assert (concept["failure"]["code"], concept["failure"]["message"]) == ("diverged", "up")
    alone = (await client.get(f"{told['url']}/concepts/fox")).json()
    assert alone["failure"]["evidence"] == [{"worker": "crew/0", "step": 3}]
    (shown,) = (await client.get("/v1/fleet")).json()["failures"]
    assert (shown["name"], shown["code"], shown["workers_died"]) == ("fox", "diverged", 1)
    assert "learning rate" in shown["advice"]


@pytest.mark.parametrize("job", ["absent-0123456789", "..", "A_B", "x" * 200, "%00", "jobs%2F..", "%F0%9F%A6%8A"])
async def test_a_job_that_is_not_there_is_a_404(client: httpx.AsyncClient, job: str) -> None:
    for reply in (
        await client.get(f"/v1/jobs/{job}"),
        await client.get(f"/v1/jobs/{job}/events"),
        await client.get(f"/v1/jobs/{job}/concepts/fox"),
        await client.get(f"/v1/jobs/{job}/concepts/fox/previews/5"),
        await client.post(f"/v1/jobs/{job}/cancel"),
        await client.post(f"/v1/jobs/{job}/resume"),
        await client.post(f"/v1/jobs/{job}/purge"),
    ):
        assert reply.status_code in (404, 405), (reply.url, reply.text)
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_cancelling_and_resuming_are_written_where_drivers_read_them(
    client: httpx.AsyncClient, desk: Desk, job_store: JobStore
) -> None:
    told = await submit(client, "fox", "hen")
    body = {"keep_best": True, "concepts": ["hen"]}
    assert (await client.post(f"{told['url']}/cancel", json=body)).status_code == 200
    cancellation = job_store.cancellation(told["id"])
    assert cancellation is not None
    assert (cancellation.names, cancellation.keep_rows) == (("hen",), True)
    wrong = await client.post(f"{told['url']}/cancel", json={"concepts": ["owl"]})
    assert wrong.status_code == 404
    assert (await client.post(f"{told['url']}/cancel", json={"keep": True})).status_code == 400
    assert (await client.post(f"{told['url']}/cancel")).status_code == 200
    again = (await client.post(f"{told['url']}/cancel")).json()
    assert (again["changed"], "nothing to cancel" in again["note"]) == (False, True)
    resumed = await client.post(f"{told['url']}/resume")
    assert resumed.json()["generation"] > told.get("generation", 1)
    assert job_store.cancellation(told["id"]) is None
    assert desk.learning.fleet.num_asked == 2  # type: ignore[attr-defined]


async def test_the_fleet_is_shown_scaled_and_drained_by_the_records_of_the_command_line(
    client: httpx.AsyncClient, s3_store: S3Store
) -> None:
    s3_store.put(status_key(FLEET), b'{"fleet": "f", "waiting": 3, "crews": [{"name": "c", "workers": 1}], "jobs": []}')
    shown = (await client.get("/v1/fleet")).json()
    assert (shown["queue"], shown["crews"]) == (
        {"waiting": 3, "leased": 0, "expiries": 0},
        [{"name": "c", "workers": 1}],
    )
    assert (await client.post("/v1/fleet/drain")).json()["settings"]["draining"] is True
    scaled = (await client.post("/v1/fleet/scale", json={"min": 1, "max": 4})).json()["settings"]
    assert scaled == {"min_workers": 1, "max_workers": 4, "crew_size": 1, "draining": False}
    assert StoredFleet(s3_store, FLEET).settings().max_workers == 4
    for wrong in ({"min": 5}, {"max": 0}, {"max": "many"}, {"most": 3}):
        reply = await client.post("/v1/fleet/scale", json=wrong)
        assert reply.status_code == 400
        assert reply.json()["error"]["param"] in ("min", "max", "most")


async def test_the_fleet_tells_the_cpus_and_gpus_of_its_nodes_while_a_driver_sees_them(
    client: httpx.AsyncClient, s3_store: S3Store
) -> None:
    nodes = [
        asdict(NodeFacts("a", "10.0.0.7", 8.0, 2.0, "L4", 48 * 2**30, 12 * 2**30)),
        asdict(NodeFacts("b", "10.0.0.8", 4.0, 0.0)),
    ]
    s3_store.put(status_key(FLEET), json.dumps({"nodes": nodes}).encode())
    shown = (await client.get("/v1/fleet")).json()
    assert (shown["resources"], shown["nodes"]) == (None, [])  # no driver runs
    await submit(client, "fox")
    shown = (await client.get("/v1/fleet")).json()
    assert (shown["resources"], shown["nodes"]) == ({"cpus": 12.0, "gpus": 2.0}, nodes)
    (example,) = jobs_examples.FLEET["nodes"]
    assert set(example) == set(nodes[0])
    assert set(jobs_examples.FLEET["resources"]) == set(shown["resources"])
    s3_store.put(status_key(FLEET), b"{}")  # an older driver tells no nodes
    assert (await client.get("/v1/fleet")).json()["resources"] is None


async def test_keys_decide_who_may_submit_see_and_operate(s3_store: S3Store) -> None:
    desk = open_desk(s3_store, keys=True)
    ring = desk.key_ring
    keys = {
        "draws": ring.create("draws", "generate")[0],
        "anna": ring.create("anna", "submit", name_prefix="anna-")[0],
        "all": ring.create("all", "submit")[0],
        "boss": ring.create("boss", "admin")[0],
    }
    headers = {name: {"authorization": f"Bearer {key}"} for name, key in keys.items()}
    async with client_of(desk) as client:
        client.headers.update(headers["anna"])
        told = await submit(client, "anna-fox")
        pictures = await upload(client, 1)
        for manifest in (
            manifest_of(pictures, "anna-fox", "bob-fox"),
            manifest_of(pictures, "anna-fox", init="<bob-fox>"),
        ):
            assert (await client.post("/v1/jobs", json=manifest)).status_code == 403
        client.headers.update(headers["all"])
        other = await submit(client, "bob-fox")
        assert len((await client.get("/v1/jobs")).json()["data"]) == 2
        assert (await client.get("/v1/fleet")).status_code == 403
        client.headers.update(headers["anna"])
        assert [job["id"] for job in (await client.get("/v1/jobs")).json()["data"]] == [told["id"]]
        for path in ("", "/events", "/concepts/bob-fox", "/concepts/bob-fox/previews/1"):
            assert (await client.get(other["url"] + path)).status_code == 403
        assert (await client.post(f"{other['url']}/cancel")).status_code == 403
        assert (await client.get(told["url"])).status_code == 200
        client.headers.update(headers["draws"])
        assert (await client.get(told["url"])).status_code == 403
        assert (await client.post("/v1/images", content=b"x")).status_code == 403
        client.headers.update(headers["boss"])
        assert (await client.get("/v1/fleet")).status_code == 200
        del client.headers["authorization"]
        assert (await client.get("/v1/jobs")).status_code == 401


async def test_the_examples_of_the_api_document_have_the_fields_of_real_answers(
    client: httpx.AsyncClient, job_store: JobStore
) -> None:
    told = await submit(client, "fox")
    report(job_store.store, job_store.load(told["id"]), step=5, loss=0.5)
    shown = (await client.get(told["url"])).json()
    assert set(told) == set(jobs_examples.SUBMITTED)
    assert set(told["estimate"]) >= set(jobs_examples.SUBMITTED["estimate"])
    assert set(shown) == set(jobs_examples.JOB)
    assert set(shown["concepts"][0]) == set(jobs_examples.CONCEPT)
    assert set((await client.get("/v1/jobs")).json()) == set(jobs_examples.JOBS)
    assert set((await client.get("/v1/fleet")).json()) == set(jobs_examples.FLEET)
    picture = (await client.post("/v1/images", content=photo(9))).json()
    assert set(picture) == set(jobs_examples.PICTURE)
    assert set(picture["training"]) == set(jobs_examples.PICTURE["training"])
    document = (await client.get("/openapi.json")).json()
    answer = document["paths"]["/v1/jobs"]["post"]["responses"]["200"]
    assert answer["content"]["application/json"]["example"]["id"] == jobs_examples.SUBMITTED["id"]


async def test_a_job_that_waits_for_a_drained_fleet_says_so(client: httpx.AsyncClient) -> None:
    told = await submit(client, "fox")
    await client.post("/v1/fleet/drain")
    assert "drained" in (await client.get(told["url"])).json()["driver"]["problem"]


async def test_purging_a_job_takes_its_previews_along(client: httpx.AsyncClient, job_store: JobStore) -> None:
    told = await submit(client, "fox")
    record = job_store.load(told["id"])
    (spec,) = job_store.spec_sheet(record.id, 0)
    write_preview(job_store.store, spec.fingerprint, 50, b"jpeg")
    too_early = await client.post(f"{told['url']}/purge")
    assert (too_early.status_code, too_early.json()["error"]["param"]) == (400, "job")
    job_store.close(record)
    assert (await client.post(f"{told['url']}/purge")).json()["pictures"] == 3
    assert (await client.get(f"{told['url']}/concepts/fox/previews/50")).status_code == 404
    thumbnail = (await client.get(told["url"])).json()["concepts"][0]["pictures"][0]["thumbnail"]
    assert (await client.get(thumbnail)).status_code == 404


async def test_a_job_that_trains_a_guess_is_listed_shown_cancelled_and_resumed_and_has_no_pictures(
    client: httpx.AsyncClient, desk: Desk, job_store: JobStore
) -> None:
    shared_enough(job_store.store, "c0ffee")
    record = submit_guess(desk.registry, "colours", "c0ffee", steps=9, fleet=FLEET).record
    url = f"/v1/jobs/{record.id}"
    (listed,) = (await client.get("/v1/jobs")).json()["data"]
    assert (listed["kind"], listed["guess"]["state"], listed["counts"]["waiting"]) == ("guess", "waiting", 1)
    for state in ("", "?state=waiting"):
        shown = (await client.get(url + state)).json()
        assert (shown["concepts"], shown["has_more"], shown["guess"]["step"]) == ([], False, 0)
    assert (await client.get(f"{url}/concepts/guess")).status_code == 404
    assert (await client.post(f"{url}/cancel")).json()["changed"]
    assert (await client.post(f"{url}/resume")).json()["state"] == "waiting"
    job_store.close(job_store.load(record.id))
    refused = await client.post(f"{url}/purge")
    assert (refused.status_code, "no pictures of its own" in refused.json()["error"]["message"]) == (400, True)
