"""Workers, nodes and the queue die in the middle of a job: nothing is lost, nothing is done twice."""

import random
import time
from collections.abc import Callable

import pytest
import ray

from cluster.order import BaseOrder
from cluster.queue_actor import NAMESPACE
from cluster.queue_host import queue_name
from tests.chaos.conftest import MAX_STEPS, NUM_CONCEPTS, Fleet, kill
from textinv.jobs import JobRecord
from textinv.store import EmbeddedServer

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(500)]
MakeJob = Callable[..., JobRecord]


def test_a_killed_worker_is_replaced_while_the_other_goes_on(
    start_fleet: Callable[[int], Fleet], make_job: MakeJob
) -> None:
    fleet = start_fleet(2)
    record = make_job(fleet.registry.store, NUM_CONCEPTS, max_steps=MAX_STEPS)
    driver = fleet.start_driver(workers=2)
    fleet.wait_until(lambda: len(fleet.workers(driver)) == 2)
    time.sleep(random.uniform(0.5, 3.0))
    victim, survivor = fleet.workers(driver)
    kill(victim["pid"])
    killed = time.monotonic()
    fleet.wait_until(lambda: victim["id"] not in {worker["id"] for worker in driver.status()["workers"]})
    fleet.wait_until(lambda: len(fleet.workers(driver)) == 2 or fleet.is_over(record))
    print(f"work resumed after {time.monotonic() - killed:.1f} s")
    fleet.wait_until(lambda: fleet.is_over(record))
    assert f"leased by {survivor['id']}" in fleet.log()
    deaths = {line.split("(")[1] for line in fleet.log().splitlines() if " died: " in line}
    assert all(victim["id"] in death for death in deaths)
    fleet.check_nothing_lost_nothing_twice(record)


def test_a_killed_queue_comes_back_and_workers_go_on_with_what_they_have(
    start_fleet: Callable[[int], Fleet], make_job: MakeJob
) -> None:
    fleet = start_fleet(1)
    record = make_job(fleet.registry.store, NUM_CONCEPTS, max_steps=MAX_STEPS)
    driver = fleet.start_driver(workers=1)
    fleet.wait_until(lambda: fleet.workers(driver))
    time.sleep(random.uniform(0.5, 3.0))
    base = BaseOrder(record.base_model, record.revision, record.base_revision)
    queue = ray.get_actor(queue_name(base), namespace=NAMESPACE)
    kill(ray.get(queue.pid.remote()))
    fleet.wait_until(lambda: fleet.is_over(record))
    fleet.check_nothing_lost_nothing_twice(record)


def test_a_lost_node_without_a_spare_does_not_keep_the_job_from_its_end(
    start_fleet: Callable[[int], Fleet], make_job: MakeJob
) -> None:
    fleet = start_fleet(2)
    record = make_job(fleet.registry.store, NUM_CONCEPTS, max_steps=MAX_STEPS)
    driver = fleet.start_driver(workers=2)
    fleet.wait_until(lambda: len(fleet.workers(driver)) == 2)
    time.sleep(random.uniform(0.5, 3.0))
    doomed = fleet.nodes[1]
    fleet.cluster.remove_node(doomed, allow_graceful=False)
    fleet.wait_until(lambda: fleet.is_over(record))
    fleet.check_nothing_lost_nothing_twice(record)
    fleet.wait_until(lambda: not driver.status()["crews"], 60.0)


@pytest.mark.parametrize("stopping", ["stopped for 20 s", "killed"])
def test_a_store_that_goes_away_costs_time_only(
    start_fleet: Callable[[int], Fleet], make_job: MakeJob, s3_server: EmbeddedServer, stopping: str
) -> None:
    fleet = start_fleet(1)
    record = make_job(fleet.registry.store, NUM_CONCEPTS, max_steps=MAX_STEPS)
    driver = fleet.start_driver(workers=1)
    fleet.wait_until(lambda: fleet.workers(driver))
    time.sleep(random.uniform(0.5, 3.0))
    if stopping == "killed":
        s3_server.kill()
    else:
        s3_server.down()
        time.sleep(20.0)
    s3_server.up()
    fleet.wait_until(lambda: fleet.is_over(record))
    fleet.check_nothing_lost_nothing_twice(record)
