"""Workers, nodes, the queue, the driver and the store die in the middle of a job: nothing is lost or done twice."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from cluster.queue.messages import BaseModelRef
from cluster.queue.on_ray import find_queue
from tests.chaos.conftest import FLEET, Fleet, kill
from textinv.store import EmbeddedServer
from textinv.training.checkpoint import Checkpoint

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(500)]
StartFleet = Callable[[int], Fleet]
FAULTS = Path(__file__).parent / "faults"
HAND_BACK_S = 5.0 + 1.5
"""What a worker may take after a notice, and the fleet's status to tell of it."""


def test_a_killed_worker_is_replaced_while_the_other_goes_on(start_fleet: StartFleet) -> None:
    fleet = start_fleet(2)
    fleet.wait_for_workers()
    victim, survivor = fleet.workers()
    kill(victim["pid"])
    seconds = fleet.wait_until(lambda: fleet.is_over or replacement_of(fleet, victim))
    print(f"worker: work resumed after {seconds:.1f} s")
    fleet.finish(num_killed_workers=1)
    assert survivor["id"] in fleet.log()
    deaths = [line for line in fleet.log().splitlines() if " died: " in line]
    assert all(victim["id"] in line for line in deaths)


def test_a_worker_whose_writer_dies_ends_and_is_replaced(
    start_fleet: StartFleet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    order = tmp_path / "a writer ends"
    monkeypatch.setenv("CHAOS_ENDS_A_WRITER", str(order))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(FAULTS), os.environ.get("PYTHONPATH", ""))))
    fleet = start_fleet(2)
    fleet.wait_for_workers()
    order.touch()
    fleet.wait_until(lambda: " died: " in fleet.log())
    assert not order.exists()
    assert not fleet.is_over, "the job is over before anything was ended"
    fleet.finish(num_killed_workers=1)


def test_a_killed_queue_comes_back_and_workers_go_on_with_what_they_have(start_fleet: StartFleet) -> None:
    fleet = start_fleet(1)
    fleet.wait_for_workers()
    workers = {worker["id"] for worker in fleet.workers()}
    kill_queue(fleet)
    fleet.finish(num_killed_workers=0)
    assert {worker["id"] for worker in fleet.status()["workers"]} <= workers


def test_a_lost_node_without_a_spare_does_not_keep_the_job_from_its_end(start_fleet: StartFleet) -> None:
    fleet = start_fleet(2)
    fleet.wait_for_workers()
    fleet.cluster.remove_node(fleet.nodes[1], allow_graceful=False)
    fleet.finish(num_killed_workers=1)
    fleet.wait_until(lambda: not fleet.status()["crews"], 60.0)


def test_a_drained_node_has_handed_back_what_it_had_before_it_goes(start_fleet: StartFleet) -> None:
    fleet = start_fleet(2)
    fleet.wait_for_workers()
    node = fleet.nodes[1]
    drain(fleet.cluster.address, node.node_id)
    seconds = fleet.wait_until(lambda: all(worker["node"] != node.node_id for worker in fleet.workers()))
    print(f"handed back {seconds:.1f} s after the notice")
    assert seconds < HAND_BACK_S
    assert not fleet.is_over, "the job is over before the node was taken away"
    fleet.cluster.remove_node(node, allow_graceful=False)
    fleet.finish(num_killed_workers=0)
    assert " died: " not in fleet.log()


@pytest.mark.parametrize("stopping", ["stopped for 20 s", "killed"])
def test_a_store_that_goes_away_costs_time_only(
    start_fleet: StartFleet, s3_server: EmbeddedServer, stopping: str
) -> None:
    fleet = start_fleet(1)
    fleet.wait_for_workers()
    if stopping == "killed":
        s3_server.kill()
    else:
        s3_server.down()
        time.sleep(20.0)
    s3_server.up()
    fleet.finish(num_killed_workers=0)


def test_a_killed_driver_takes_its_workers_along_and_the_resumed_job_goes_on(start_fleet: StartFleet) -> None:
    fleet = start_fleet(1)
    fleet.wait_for_workers()
    fleet.kill_driver()
    repeated = lost_passes(fleet)
    fleet.job_store.resume(fleet.record.id)
    fleet.start_driver()
    fleet.finish(num_killed_workers=1, repeated_elsewhere=repeated)


def test_all_of_them_may_die_one_after_the_other(start_fleet: StartFleet, s3_server: EmbeddedServer) -> None:
    fleet = start_fleet(2)
    fleet.wait_for_workers()
    fleet.kill_driver()
    repeated = lost_passes(fleet)
    fleet.job_store.resume(fleet.record.id)
    begun = fleet.status()["updated"]
    fleet.start_driver()
    fleet.wait_until(lambda: fleet.status()["updated"] > begun)
    fleet.wait_for_workers()
    kill_queue(fleet)
    pause(fleet)
    s3_server.kill()
    s3_server.up()
    pause(fleet)
    kill(busy_worker(fleet)["pid"])
    pause(fleet)
    fleet.cluster.remove_node(fleet.nodes[1], allow_graceful=False)
    fleet.finish(num_killed_workers=4, repeated_elsewhere=repeated)


def busy_worker(fleet: Fleet) -> dict[str, Any]:
    """A worker that has work; a queue that was just replaced hears of its workers when they speak next."""
    found: list[dict[str, Any]] = []

    def is_there() -> bool:
        assert not fleet.is_over, "the job is over before everything was killed"
        found[:] = fleet.workers()
        return bool(found)

    fleet.wait_until(is_there)
    return found[0]


def replacement_of(fleet: Fleet, victim: dict[str, object]) -> bool:
    """Whether somebody else has work on the seat of a worker."""
    return any(worker["seat"] == victim["seat"] and worker["id"] != victim["id"] for worker in fleet.workers())


def kill_queue(fleet: Fleet) -> None:
    record = fleet.record
    base = BaseModelRef(record.base_model, record.revision, record.base_revision)
    kill(ray.get(find_queue(FLEET, base).pid.remote()))


def drain(address: str, node: str) -> None:
    """Tell Ray that a node is to be taken away, as its autoscaler or a watcher of spot instances does."""
    why = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot", "--deadline-remaining-seconds", "30"]
    ray_command = str(Path(sys.executable).parent / "ray")
    subprocess.run([ray_command, "drain-node", "--address", address, "--node-id", node, *why], check=True, timeout=60)


def pause(fleet: Fleet) -> None:
    """Let a moment pass in which there is still work to do."""
    time.sleep(random.uniform(0.3, 1.5))
    assert not fleet.is_over, "the job is over before everything was killed"


def lost_passes(fleet: Fleet) -> int:
    """Sample passes that the store heard of and that no checkpoint holds."""
    status = fleet.job_store.status(fleet.record.id)
    assert status is not None
    lost = 0
    for concept in status.concepts:
        if concept.state == "running" and concept.fingerprint not in fleet.registry.finished_fingerprints():
            saved = fleet.job_store.checkpoint(concept.fingerprint)
            kept = Checkpoint.from_bytes(saved).counters["sample_passes"] if saved else 0
            lost += max(0, concept.sample_passes - kept)
    return lost
