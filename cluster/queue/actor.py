"""The queue as an actor: one process that everybody can reach.

Owns that it is found by name, pinned to the driver's node, and restarted when it dies. Does not decide anything.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.queue.lease import Answer, Death, Entry, Orders, StepReport, WorkerCard
from cluster.queue.queue import LEASE_S, WorkQueue
from cluster.queue.views import QueueView

NAMESPACE = "textinv"


class QueueActor:
    """A `WorkQueue` in a process of its own."""

    def __init__(self, lease_s: float) -> None:
        reborn = ray.get_runtime_context().was_current_actor_reconstructed
        self._queue = WorkQueue(lease_s=lease_s, hold_s=lease_s / 2 if reborn else 0.0)
        self._known: set[str] = set()
        self._controllers: dict[str, Any] = {}

    def open_job(self, job_id: str, priority: int, keep_rows: bool) -> None:
        """See `WorkQueue.open_job`."""
        self._queue.open_job(job_id, priority, keep_rows=keep_rows)
        self._known.add(job_id)

    def add(self, job_id: str, entries: Sequence[Entry], settled: Mapping[str, str]) -> frozenset[str]:
        """See `WorkQueue.add`; a job that was not opened in this life is left to the driver, who will notice."""
        return self._queue.add(job_id, entries, settled) if job_id in self._known else frozenset()

    def recall(self, deaths: Mapping[str, tuple[Death, ...]]) -> None:
        """See `WorkQueue.recall`."""
        self._queue.recall(deaths)

    def close_job(self, job_id: str) -> None:
        """See `WorkQueue.close_job`."""
        self._queue.close_job(job_id)
        self._known.discard(job_id)

    def dismiss(self, crews: Sequence[str]) -> None:
        """See `WorkQueue.dismiss`."""
        self._queue.dismiss(crews)

    def bury_crew(self, crew: str) -> None:
        """See `WorkQueue.bury_crew`."""
        self._queue.bury_crew(crew)

    def view(self, events_from: int) -> QueueView:
        """See `WorkQueue.view`."""
        return self._queue.view(events_from)

    def pid(self) -> int:
        """The process that this queue lives in."""
        return os.getpid()

    def meet_controller(self, crew: str, controller: Any) -> None:
        """Remember the controller of a crew's Train run."""
        self._controllers[crew] = controller

    def controller(self, crew: str) -> Any:
        """The controller of a crew's Train run, once it has started."""
        return self._controllers.get(crew)

    def take(self, card: WorkerCard, request: int) -> Answer:
        """See `WorkQueue.take`."""
        return self._queue.take(card, request)

    def beat(self, card: WorkerCard, held: Collection[str]) -> Orders:
        """See `WorkQueue.beat`."""
        return self._queue.beat(card, held)

    def report(self, worker: str, fingerprint: str, report: StepReport) -> None:
        """See `WorkQueue.report`."""
        self._queue.report(worker, fingerprint, report)

    def finish(self, worker: str, fingerprint: str, version: int) -> None:
        """See `WorkQueue.finish`."""
        self._queue.finish(worker, fingerprint, version)

    def fail(self, worker: str, fingerprint: str, code: str, message: str) -> bool:
        """See `WorkQueue.fail`."""
        return self._queue.fail(worker, fingerprint, code, message)

    def hand_back(self, worker: str, fingerprints: Collection[str]) -> None:
        """See `WorkQueue.hand_back`."""
        self._queue.hand_back(worker, fingerprints)

    def leave(self, worker: str, reason: str | None) -> None:
        """See `WorkQueue.leave`."""
        self._queue.leave(worker, reason)


def start_queue(name: str, lease_s: float = LEASE_S) -> Any:
    """Start a queue on this node, which must not be preemptible, and return its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(QueueActor)
        .options(
            name=name,
            namespace=NAMESPACE,
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=here,
        )
        .remote(lease_s)
    )
