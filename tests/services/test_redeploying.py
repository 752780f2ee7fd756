"""A service that is deployed anew under load, scaled to nothing and back, and given a second front."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from ray import serve

from services.access.keys import KeyRing
from services.application import build
from services.config import ServiceConfig
from tests.services.on_serve import APPLICATION, draw, publish_word, serving, studio_replicas, wait_for
from textinv.settings import StoreSettings
from textinv.store import EmbeddedServer, connect_store

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.load]


@pytest.fixture(scope="module")
def stored(s3_server: EmbeddedServer) -> StoreSettings:
    return s3_server.up().model_copy(update={"prefix": "redeployed"})


@pytest.fixture(scope="module")
def config(stored: StoreSettings) -> ServiceConfig:
    return ServiceConfig(store=stored, keys=False, device="cpu", max_batch=8, num_cpus=0.5, drain_s=60)


@pytest.fixture(scope="module")
def service(local_ray: str, config: ServiceConfig) -> Iterator[str]:
    with serving(config) as url:
        yield url


def test_a_redeployment_under_load_loses_no_accepted_request(
    service: str, config: ServiceConfig, stored: StoreSettings
) -> None:
    publish_word(stored, "kept", "frog")
    stop = threading.Event()
    statuses: list[int] = []

    def keep_asking() -> None:
        while not stop.is_set():
            statuses.append(draw(service, prompt="<kept>", num_inference_steps=15).status_code)

    before = {replica._actor_id for replica in studio_replicas()}
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        wait_for(lambda: len(statuses) >= 4)
        serve.run(build(config.model_copy(update={"max_waiting": 100})), name=APPLICATION, route_prefix="/")
        wait_for(lambda: before.isdisjoint({replica._actor_id for replica in studio_replicas()}), patience_s=90)
        answered = len(statuses)
        wait_for(lambda: len(statuses) >= answered + 8, patience_s=60)
        stop.set()
        for one in asking:
            one.result()
    assert set(statuses) == {200}


def test_a_service_scaled_to_nothing_wakes_up_when_somebody_asks(service: str, config: ServiceConfig) -> None:
    sleepy = config.model_copy(update={"min_replicas": 0, "max_replicas": 1, "idle_s": 1.0})
    serve.run(build(sleepy), name=APPLICATION, route_prefix="/")
    first = draw(service, prompt="<kept>", seed=1, num_inference_steps=2)
    assert first.status_code == 200
    wait_for(lambda: not studio_replicas(), patience_s=90)
    again = draw(service, prompt="<kept>", seed=1, num_inference_steps=2)
    assert again.status_code == 200
    assert again.json()["data"] == first.json()["data"]


def test_with_two_fronts_interrupts_and_the_limits_of_keys_hold_whichever_answers(
    service: str, config: ServiceConfig, stored: StoreSettings
) -> None:
    text, _ = KeyRing(connect_store(stored)).create("page", "generate", concurrency=2)
    several = config.model_copy(update={"num_fronts": 2, "keys": True})
    serve.run(build(several), name=APPLICATION, route_prefix="/")
    headers = {"authorization": f"Bearer {text}"}

    def txt2img(steps: int = 150) -> httpx.Response:
        sent = {"prompt": "a frog", "steps": steps, "batch_size": 4}
        return httpx.post(f"{service}/sdapi/v1/txt2img", json=sent, headers=headers, timeout=120)

    def progress() -> list[float]:
        """Asked several times, each on a connection of its own, so that both fronts are."""
        url = f"{service}/sdapi/v1/progress"
        return [httpx.get(url, headers=headers, timeout=60).json()["progress"] for _ in range(8)]

    with ThreadPoolExecutor(2) as pool:
        drawing = [pool.submit(txt2img) for _ in range(2)]
        wait_for(lambda: min(progress()) > 0)
        assert {txt2img(1).status_code for _ in range(6)} == {429}
        assert httpx.post(f"{service}/sdapi/v1/interrupt", headers=headers, timeout=60).status_code == 200
        began = time.monotonic()
        assert [one.result().json()["images"] for one in drawing] == [[], []]
        assert time.monotonic() - began < 5
    wait_for(lambda: txt2img(1).status_code == 200)
