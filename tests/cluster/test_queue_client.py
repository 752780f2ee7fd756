"""A worker's client of its queue: how often it speaks."""

from typing import Any

import pytest
import ray

from cluster.queue.messages import BeatReply, StepReport, WorkerCard
from cluster.queue.on_ray import WorkersQueue

pytestmark = pytest.mark.ray


class Listener:
    """An actor that wants to hear of progress once in a while."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, str]] = []

    def beat(self, card: WorkerCard, held: list[str], trouble: str) -> BeatReply:
        return BeatReply(report_every_s=3600.0)

    def report(self, worker: str, fingerprint: str, report: StepReport) -> None:
        self.heard.append((report.step, report.state))

    def all(self) -> list[tuple[int, str]]:
        return self.heard


def test_in_a_large_fleet_a_worker_speaks_of_a_concept_only_now_and_then_but_always_of_its_end(local_ray: str) -> None:
    actor: Any = ray.remote(Listener).options(num_cpus=0).remote()
    client = WorkersQueue(actor)

    def say(step: int, state: str = "training") -> None:
        client.report("w", "fp", StepReport(step, 9, 0.1, step, 1.0, state))

    say(0, "started")
    say(1)
    client.beat(WorkerCard("w", "crew", 0), ["fp"])
    for step in range(2, 9):
        say(step)
    say(9, "cap")
    assert ray.get(actor.all.remote()) == [(0, "started"), (1, "training"), (9, "cap")]
    ray.kill(actor)
