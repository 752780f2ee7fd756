"""A service whose settings name a Ray cluster: its fleet is a job of that cluster, and learns what is submitted."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.studio import StudioFacts
from tests.chaos.test_driver_on_cluster import HeadNode
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from tests.services.job_tools import manifest_of, upload
from textinv.jobs.fleet_driver import ClusterFleet
from textinv.models import base_revision
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import StoreSettings
from textinv.store import S3Store

pytestmark = [pytest.mark.load, pytest.mark.ray, pytest.mark.store, pytest.mark.anyio, pytest.mark.timeout(400)]


@pytest.fixture
def head(s3_settings: StoreSettings) -> Iterator[HeadNode]:
    node = HeadNode(s3_settings)
    yield node
    node.end()


async def test_a_submitted_manifest_is_learned_by_a_driver_that_the_cluster_runs(
    head: HeadNode, tmp_path: Path, s3_settings: StoreSettings, s3_store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    config = ServiceConfig(
        base_model="emoji",
        keys=False,
        store=s3_settings,
        home=tmp_path,
        ray_address=head.address,
        driver_options={"threads_per_worker": 1},
        preview_every=0,
    )
    desk = Desk(config, ColourStudio(s3_store), s3_store)
    desk.known_facts = StudioFacts("emoji", base_revision("emoji"), "sd1", 64, 8, 16, 64 * 64, {"text_encoder": 64})
    assert isinstance(desk.learning.fleet, ClusterFleet)
    async with client_of(desk) as client:
        manifest = manifest_of(await upload(client, 1, 2), "fox", max_steps=10, min_steps=10, stop="fixed")
        async with asyncio.timeout(200):  # a cluster that has just started takes no jobs for a while
            while (reply := await client.post("/v1/jobs", json=manifest | {"base_model": "emoji"})).status_code == 503:
                assert reply.json()["error"]["code"] == "cluster_failed"
                await asyncio.sleep(float(reply.headers["retry-after"]))
        told = reply.json()
        assert told["driver"]["state"] == "running"
        assert desk.learning.fleet.ensure() is False
        async with asyncio.timeout(240):
            while (job := (await client.get(told["url"])).json())["state"] not in ("done", "failed"):
                await asyncio.sleep(1.0)
        assert job["state"] == "done"
        fleet = (await client.get("/v1/fleet")).json()
        assert fleet["links"]["ray_dashboard"] == head.address
        assert fleet["driver"]["running"] is True
        (node,) = fleet["nodes"]
        assert (fleet["resources"]["cpus"], node["cpus"]) == (2.0, 2.0)
    assert Registry(s3_store).resolve(ConceptRef("fox", None)).record["steps"] == 10
    assert os.listdir(tmp_path) == []
