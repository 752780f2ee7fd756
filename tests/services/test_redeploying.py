"""A service that is deployed anew under load, and one that is scaled to nothing and back."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from ray import serve

from services.application import build
from services.config import ServiceConfig
from tests.services.on_serve import APPLICATION, draw, publish_word, serving, studio_replicas, wait_for
from textinv.settings import StoreSettings
from textinv.store import EmbeddedServer

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
