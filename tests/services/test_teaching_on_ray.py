"""From three pictures to a drawing over HTTP alone: a real Serve, a real fleet with its own Ray, the real store."""

import base64
import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from cluster.driver.local_ray import LocalRay
from tests.services.served import served
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings
from textinv.store import EmbeddedServer

pytestmark = [pytest.mark.load, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(500)]
PICTURES = sorted((Path(__file__).parents[2] / "manifests" / "pictures" / "umbrella").glob("*.png"))[:3]


@pytest.fixture(scope="module")
def settings(s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    store = s3_server.up().model_copy(update={"prefix": "taught"})
    return Settings(home=tmp_path_factory.mktemp("taught"), store=store)


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with served(settings) as url, httpx.Client(base_url=url, timeout=120) as client:
        yield client
    end_fleet(settings)


def end_fleet(settings: Settings) -> None:
    """Wait until the driver has ended by itself, as it does without work; end what is left of it."""
    driver = HomeDriver(settings.home)
    deadline = time.monotonic() + 60
    while driver.has_driver() and time.monotonic() < deadline:
        time.sleep(0.2)
    pid = driver.driver_pid()
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
    for orphan in list(LocalRay(settings.home).orphans()):
        os.kill(orphan, signal.SIGKILL)


def events_of(client: httpx.Client, url: str, last_event_id: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Follow a job: the id and the data of each event."""
    headers = {"last-event-id": last_event_id} if last_event_id else {}
    with client.stream("GET", url, headers=headers, timeout=300) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        event_id = ""
        for line in stream.iter_lines():
            if line.startswith("id: "):
                event_id = line[4:]
            elif line.startswith("data: "):
                yield event_id, json.loads(line[6:])


def submit(client: httpx.Client, name: str, **fields: Any) -> dict[str, Any]:
    ids = [client.post("/v1/images", content=path.read_bytes()).json()["id"] for path in PICTURES]
    concept = {"name": name, "images": ids, "class_word": "umbrella", **fields}
    reply = client.post("/v1/jobs", json={"base_model": "emoji", "name": name, "concepts": [concept]})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_pictures_become_a_concept_that_is_watched_and_drawn(client: httpx.Client, settings: Settings) -> None:
    job = submit(client, "my-umbrella", max_steps=20, min_steps=20, stop="fixed", preview_every=10)
    seen: list[dict[str, Any]] = []
    last_id = ""
    for event_id, event in events_of(client, job["events"]):
        seen.append(event)
        last_id = event_id
        if event["type"] == "concept.progress":
            break  # the reader goes, and comes back
    seen += [event for _, event in events_of(client, job["events"], last_id)]
    kinds = [event["type"] for event in seen]
    assert kinds[0] == "job.snapshot"
    assert kinds.count("job.snapshot") == 1
    assert kinds[-1] == "job.end"
    assert seen[-1]["job"]["state"] == "done"
    steps = [point["step"] for event in seen if event["type"] == "concept.progress" for point in event["points"]]
    assert steps == sorted(set(steps))
    assert steps[-1] == 20
    previews = [event for event in seen if event["type"] == "concept.preview"]
    assert previews[-1]["step"] == 20
    for preview in previews:
        assert Image.open(io.BytesIO(client.get(preview["url"]).content)).size == (64, 64)

    concept = client.get(f"{job['url']}/concepts/my-umbrella").json()
    assert (concept["state"], concept["version"], concept["stopped"]) == ("done", 1, "cap")
    assert [point["step"] for point in concept["curve"]] == [seen["step"] for seen in concept["record"]["trace"]]
    pictures = [
        client.post("/v1/images/generations", json={"prompt": prompt, "seed": 3, "num_inference_steps": 8}).json()
        for prompt in ("a photo of <my-umbrella>", "a photo of umbrella")
    ]
    drawn, plain = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one["data"][0]["b64_json"]))), np.int16) for one in pictures
    )
    assert np.abs(drawn - plain).mean() > 1
    assert submit(client, "my-umbrella", max_steps=20, min_steps=20, stop="fixed")["state"] == "done"
    assert client.get("/v1/fleet").json()["fleet"] == HomeDriver(settings.home).fleet


def test_a_job_is_cancelled_with_its_best_rows_and_learned_to_the_end_when_resumed(client: httpx.Client) -> None:
    job = submit(client, "my-brolly", max_steps=400, min_steps=400, stop="fixed", seed=5)
    for _, event in events_of(client, job["events"]):
        if event["type"] == "concept.progress" and event["step"] >= 10:
            break
    assert client.post(f"{job['url']}/cancel", json={"keep_best": True}).status_code == 200
    *_, (_, end) = events_of(client, job["events"])
    assert (end["type"], end["job"]["state"]) == ("job.end", "cancelled")
    resumed = client.post(f"{job['url']}/resume").json()
    assert resumed["state"] == "waiting"
    for _, event in events_of(client, job["events"]):
        if event["type"] == "concept.progress" and event["step"] > 10:
            break
    assert client.post(f"{job['url']}/cancel").status_code == 200
