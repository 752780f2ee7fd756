"""A real Ray Serve scales the studio by its queue: a second replica comes while it is deep and goes when it is not."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import ray

from services.config import ServiceConfig
from tests.services.on_serve import draw, serving, studio_replicas, wait_for
from textinv.settings import StoreSettings
from textinv.store import EmbeddedServer

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.load]
# Of requests at once: three times what one replica is meant to have, and less than that.
DEEP, SHALLOW = 6, 1


@pytest.fixture(scope="module")
def stored(s3_server: EmbeddedServer) -> StoreSettings:
    return s3_server.up().model_copy(update={"prefix": "scaled"})


@pytest.fixture(scope="module")
def service(local_ray: str, stored: StoreSettings) -> Iterator[str]:
    config = ServiceConfig(
        store=stored,
        keys=False,
        device="cpu",
        max_batch=2,
        num_cpus=0.5,
        min_replicas=1,
        max_replicas=2,
        target_ongoing=2,
        idle_s=2,
        drain_s=60,
    )
    with serving(config) as url:
        yield url


@contextmanager
def clients(url: str, number: int) -> Iterator[list[int]]:
    """Clients that ask again as soon as they are answered; the statuses of all answers, complete in the end."""
    stop = threading.Event()
    statuses: list[int] = []

    def keep_asking() -> None:
        while not stop.is_set():
            statuses.append(draw(url, num_inference_steps=15).status_code)

    with ThreadPoolExecutor(number) as pool:
        asking = [pool.submit(keep_asking) for _ in range(number)]
        try:
            yield statuses
        finally:
            stop.set()
    for one in asking:
        one.result()


def all_draw() -> bool:
    """Whether there are two replicas and each has requests."""
    replicas = studio_replicas()
    return len(replicas) == 2 and all(ray.get([one.get_num_ongoing_requests.remote() for one in replicas]))


@pytest.mark.timeout(600)
def test_a_second_replica_comes_while_the_queue_is_deep_and_goes_after_and_no_accepted_request_is_lost(
    service: str,
) -> None:
    assert len(studio_replicas()) == 1
    with clients(service, DEEP) as while_deep:
        wait_for(all_draw, patience_s=240)  # a replica takes three minutes to start beside much other work
        answered = len(while_deep)
        wait_for(lambda: len(while_deep) >= answered + 2 * DEEP, patience_s=60)
    assert set(while_deep) == {200}
    with clients(service, SHALLOW) as after:
        wait_for(lambda: len(studio_replicas()) == 1, patience_s=120)
        answered = len(after)
        wait_for(lambda: len(after) >= answered + 2, patience_s=60)
    assert set(after) == {200}
