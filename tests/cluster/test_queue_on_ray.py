"""The queue as an actor on a real Ray."""

import os
import signal
import time

import pytest

from cluster.queue.lease import Entry, WorkerCard

pytestmark = pytest.mark.ray


def test_a_killed_queue_is_restarted_under_its_name_and_told_again(local_ray: str) -> None:
    import ray

    from cluster.queue.actor import NAMESPACE
    from cluster.queue.client import QueueClient
    from cluster.queue.host import QueueHandle

    host = QueueHandle("queue-of-tests", 2.0)
    actor = ray.get_actor("queue-of-tests", namespace=NAMESPACE)
    worker, card = QueueClient(actor), WorkerCard("crew/0", "crew", 0)
    entries = [Entry("fp-a", "a", 0, 0), Entry("fp-b", "b", 0, 1)]
    host.open_job("job")
    host.add("job", entries)
    lease = worker.take(card, 0).lease
    assert lease is not None
    assert lease.name == "a"
    os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)

    assert worker.beat(card, ["fp-a"]).lost == frozenset()
    assert host.view().jobs == ()
    host.open_job("job")
    host.add("job", entries)
    worker.beat(card, ["fp-a"])
    deadline = time.monotonic() + 20.0
    while (answer := worker.take(card, 1 + int(time.monotonic() * 10))).lease is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.lease.name == "b"
    worker.finish("crew/0", "fp-a", 1)
    assert host.view().jobs[0].counts["done"] == 1
    ray.kill(actor)
