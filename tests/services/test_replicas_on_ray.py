"""Studio replicas on a real Ray Serve: one dies, some are taken away, versions appear; nobody loses a picture."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import ray
from ray import serve

from services.application import build
from services.config import ServiceConfig
from services.drawing.meters import GAUGES
from tests.services.on_serve import APPLICATION, draw, publish_word, serving, studio_replicas, wait_for
from tests.services.pictures import pixels_of
from textinv.settings import StoreSettings
from textinv.store import EmbeddedServer

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.load]


@pytest.fixture(scope="module")
def stored(s3_server: EmbeddedServer) -> StoreSettings:
    return s3_server.up().model_copy(update={"prefix": "replicas"})


@pytest.fixture(scope="module")
def config(stored: StoreSettings) -> ServiceConfig:
    return ServiceConfig(
        store=stored, keys=False, device="cpu", max_batch=8, num_cpus=0.5, min_replicas=2, max_replicas=2, drain_s=60
    )


@pytest.fixture(scope="module")
def service(local_ray: str, config: ServiceConfig) -> Iterator[str]:
    with serving(config) as url:
        yield url


def busy_replica() -> Any | None:
    """One that draws now."""
    for replica in studio_replicas():
        if ray.get(replica.get_num_ongoing_requests.remote()) > 0:
            return replica
    return None


def test_a_request_whose_replica_dies_is_drawn_again_on_another_and_gives_the_same_picture(
    service: str, stored: StoreSettings
) -> None:
    publish_word(stored, "my-frog", "frog")
    fields = {"prompt": "a <my-frog>", "seed": 7, "num_inference_steps": 80, "n": 4}
    expected = draw(service, **fields).json()
    with ThreadPoolExecutor(1) as pool:
        drawing: Future[httpx.Response] = pool.submit(draw, service, **fields)
        ray.kill(wait_for(busy_replica))
        reply = drawing.result()
    assert reply.status_code == 200
    for first, again in zip(expected["data"], reply.json()["data"], strict=True):
        assert first["seed"] == again["seed"]
        difference = pixels_of(first["b64_json"]).astype(int) - pixels_of(again["b64_json"])
        assert abs(difference).max() <= 1
    wait_for(lambda: len(studio_replicas()) == 2)


@pytest.mark.timeout(400)
def test_ready_is_said_again_soon_after_new_replicas_can_draw(service: str) -> None:
    """All die while somebody asks for readiness all the time, as load balancers do."""
    over = threading.Event()
    told: list[int] = []

    def keep_asking() -> None:
        while not over.wait(0.3):
            told.append(httpx.get(f"{service}/readyz", timeout=60).status_code)

    wait_for(lambda: httpx.get(f"{service}/readyz", timeout=60).status_code == 200)
    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(keep_asking) for _ in range(2)]
        try:
            for replica in studio_replicas():
                ray.kill(replica)
            wait_for(lambda: draw(service, num_inference_steps=1).status_code == 200, patience_s=240)
            answered = len(told)
            wait_for(lambda: 200 in told[answered + len(asking) :], patience_s=15)
        finally:
            over.set()
    for one in asking:
        one.result()
    assert set(told) <= {200, 503}


def test_a_new_version_is_drawn_within_five_seconds_on_every_replica(service: str, stored: StoreSettings) -> None:
    assert publish_word(stored, "changing", "frog") == 1
    for _ in range(6):
        assert "changing@1" in draw(service, prompt="<changing>", num_inference_steps=1).json()["concepts"]
    assert publish_word(stored, "changing", "apple") == 2
    time.sleep(5)
    for _ in range(6):
        assert "changing@2" in draw(service, prompt="<changing>", num_inference_steps=1).json()["concepts"]


def test_the_meters_are_exported_by_the_names_that_the_dashboard_draws(service: str, stored: StoreSettings) -> None:
    publish_word(stored, "metered", "frog")
    assert draw(service, prompt="<metered>", num_inference_steps=1).status_code == 200
    url = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"
    moved = {"textinv_steps_total", "textinv_step_seconds_total", "textinv_image_steps_total", "textinv_images_total"}
    expected = {f"ray_{name}" for name in moved | set(GAUGES) | {"textinv_cold_loads_total"}}
    exported: set[str] = set()

    def all_exported() -> bool:
        lines = httpx.get(url, timeout=10).text.splitlines()
        exported.update(line.split("{")[0] for line in lines if line.startswith("ray_textinv"))
        return expected <= exported

    wait_for(all_exported, patience_s=40)


def test_what_leavers_cost_and_what_is_at_hand_are_counted(service: str, stored: StoreSettings) -> None:
    publish_word(stored, "counted", "frog")
    url = f"http://127.0.0.1:{ray.nodes()[0]['MetricsExportPort']}/metrics"

    def total(name: str) -> float:
        lines = httpx.get(url, timeout=10).text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"ray_textinv_{name}{{"))

    cancelled, hits = total("cancelled_steps_total"), total("cache_hits_total")
    for _ in range(4):  # one of two replicas draws it a second time
        assert draw(service, prompt="<counted>", num_inference_steps=1).status_code == 200
    wait_for(lambda: total("cache_hits_total") >= hits + 2, patience_s=40)
    assert total("cancelled_steps_total") == cancelled
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{service}/v1/images/generations",
            json={"prompt": "a frog", "num_inference_steps": 150, "n": 10},
            timeout=1.0,
        )
    wait_for(lambda: total("cancelled_steps_total") > cancelled, patience_s=40)


def test_a_client_that_leaves_frees_its_replica(service: str) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{service}/v1/images/generations",
            json={"prompt": "a frog", "num_inference_steps": 150, "n": 10},
            timeout=1.0,
        )
    wait_for(lambda: busy_replica() is None, patience_s=3.0)


def test_no_accepted_request_is_lost_when_replicas_are_taken_away(service: str, config: ServiceConfig) -> None:
    stop = threading.Event()
    statuses: list[int] = []

    def keep_asking() -> None:
        while not stop.is_set():
            statuses.append(draw(service, num_inference_steps=20).status_code)

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        wait_for(busy_replica)
        fewer = config.model_copy(update={"min_replicas": 1, "max_replicas": 1})
        serve.run(build(fewer), name=APPLICATION, route_prefix="/")
        wait_for(lambda: len(studio_replicas()) == 1, patience_s=60)
        stop.set()
        for one in asking:
            one.result()
    assert len(statuses) >= 4
    assert set(statuses) == {200}
