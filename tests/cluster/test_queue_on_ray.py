"""The queue as an actor on a real Ray."""

import os
import signal
import time

import pytest

from cluster.queue.messages import BaseModelRef, SpecRef, WorkerCard
from tests.cluster.user import wait_until
from textinv.errors import ClusterError

pytestmark = pytest.mark.ray


def test_a_killed_queue_is_restarted_under_its_name_and_told_again(local_ray: str) -> None:
    import ray

    from cluster.queue.on_ray import DriversQueue, WorkersQueue, find_queue

    base = BaseModelRef("emoji", None, "of-tests")
    host, actor = DriversQueue("fleet", base, 2.0), find_queue("fleet", base)
    worker, card = WorkersQueue(actor), WorkerCard("crew/0", "crew", 0)
    specs = [SpecRef("fp-a", "a", 0, 0), SpecRef("fp-b", "b", 0, 1)]
    host.open_job("job")
    host.add("job", specs)
    lease = worker.take(card, 0).lease
    assert lease is not None
    assert lease.name == "a"
    os.kill(ray.get(actor.pid.remote()), signal.SIGKILL)

    assert worker.beat(card, ["fp-a"]).lost == frozenset()
    assert host.view().jobs == ()
    host.open_job("job")
    host.add("job", specs)
    worker.beat(card, ["fp-a"])
    deadline = time.monotonic() + 20.0
    while (answer := worker.take(card, 1 + int(time.monotonic() * 10))).lease is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert answer.lease.name == "b"
    worker.finish("crew/0", "fp-a", 1)
    assert host.view().jobs[0].counts["done"] == 1
    worker.hand_back("crew/0", ["fp-b"])
    assert not worker.fail("crew/0", "fp-b", "invalid_image", "it has nothing to say")
    host.recall({"fp-b": ()})
    host.dismiss(["crew"])
    assert worker.take(card, 10**6).dismissed
    worker.leave("crew/0")
    host.bury_crew("crew")
    host.close_job("job")
    assert (host.view().jobs, host.view().workers) == ((), ())
    ray.kill(actor)
    with pytest.raises(ClusterError, match="does not answer to view"):
        wait_until(lambda: host.view() is None)
    with pytest.raises(ClusterError, match="the work queue does not answer to take"):
        worker.take(card, 10**6 + 1)


def test_two_fleets_of_one_cluster_have_a_queue_each_for_the_same_base_model(local_ray: str) -> None:
    import ray

    from cluster.queue.on_ray import DriversQueue, WorkersQueue, find_queue

    base, card = BaseModelRef("emoji", None, "shared"), WorkerCard("crew/0", "crew", 0)
    staging, prod = (DriversQueue(fleet, base, 2.0) for fleet in ("staging", "prod"))
    staging.open_job("job")
    staging.add("job", [SpecRef("fp-a", "a", 0, 0)])
    assert prod.view().jobs == ()
    assert WorkersQueue(find_queue("prod", base)).take(card, 0).lease is None
    assert WorkersQueue(find_queue("staging", base)).take(card, 0).lease is not None
    for fleet in ("staging", "prod"):
        ray.kill(find_queue(fleet, base))
