"""The queue on Ray: how it is started, found and spoken to.

Owns the actor (one process that everybody can reach, pinned to the driver's node, restarted when it dies), what workers
and drivers ask of a queue (two protocols), and their two ways to it. Does not know what the answers mean: tests put a
`WorkQueue` in the actor's place.
"""

import math
import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.queue.messages import BaseModelRef, BeatReply, Death, SpecRef, StepReport, TakeReply, WorkerCard
from cluster.queue.queue import WorkQueue
from cluster.queue.views import QueueView
from textinv.errors import ClusterError

PATIENCE_S = 60.0
"""A queue that is being restarted answers a driver within seconds."""
NAMESPACE = "textinv"


class QueueActor(WorkQueue):
    """A queue in a process of its own, which also knows how a crew that cannot end is stopped."""

    def __init__(self, lease_s: float) -> None:
        reborn = ray.get_runtime_context().was_current_actor_reconstructed
        super().__init__(lease_s=lease_s, hold_s=lease_s / 2 if reborn else 0.0)
        self._controllers: dict[str, Any] = {}

    def pid(self) -> int:
        """The process that this queue lives in."""
        return os.getpid()

    def meet_controller(self, crew: str, controller: Any) -> None:
        """Remember the controller of a crew's Train run."""
        self._controllers[crew] = controller

    def controller(self, crew: str) -> Any:
        """The controller of a crew's Train run, once it has started."""
        return self._controllers.get(crew)


def start_queue(fleet: str, base: BaseModelRef, lease_s: float) -> Any:
    """Start a fleet's queue for a base model on this node, which must not be preemptible, unless it runs; its actor."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return (
        ray.remote(QueueActor)
        .options(
            name=base.queue_name(fleet),
            namespace=NAMESPACE,
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_task_retries=-1,
            scheduling_strategy=here,
        )
        .remote(lease_s)
    )


def find_queue(fleet: str, base: BaseModelRef) -> Any:
    """The actor of a fleet's queue for a base model, which a driver has started."""
    return ray.get_actor(base.queue_name(fleet), namespace=NAMESPACE)


class QueueForWorkers(Protocol):
    """What a worker asks of a queue; `WorkQueue` has these too."""

    def take(self, card: WorkerCard, request: int) -> TakeReply:
        """Lease a spec."""
        ...

    def beat(self, card: WorkerCard, held: Collection[str], trouble: str = "") -> BeatReply:
        """Renew leases, and say what is wrong with the worker's place."""
        ...

    def report(self, worker_id: str, fingerprint: str, report: StepReport) -> None:
        """Say how far a concept is."""
        ...

    def finish(self, worker_id: str, fingerprint: str, version: int | None) -> None:
        """Say that a concept was published, or a guess, which has no version."""
        ...

    def fail(self, worker_id: str, fingerprint: str, code: str, message: str) -> bool:
        """Say that a concept could not be learned; whether it is given up for good."""
        ...

    def hand_back(self, worker_id: str, fingerprints: Collection[str]) -> None:
        """Give leases back."""
        ...

    def leave(self, worker_id: str, reason: str | None = None) -> None:
        """Go, or die of a reason."""
        ...


class QueueForDriver(Protocol):
    """What a driver asks of a queue; `WorkQueue` has these too."""

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        """Make a place for a job."""
        ...

    def add(self, job_id: str, specs: Sequence[SpecRef], settled: Mapping[str, str] | None = None) -> frozenset[str]:
        """Add specs to a job, or say again how they stand; the cancelled ones that no worker has and no job wants."""
        ...

    def recall(self, deaths: Mapping[str, tuple[Death, ...]]) -> None:
        """Say who died with specs before."""
        ...

    def close_job(self, job_id: str) -> None:
        """Forget a job."""
        ...

    def dismiss(self, crews: Sequence[str]) -> None:
        """Let crews go."""
        ...

    def bury_crew(self, crew: str) -> None:
        """Say that a crew is gone."""
        ...

    def view(self, events_from: int = 0) -> QueueView:
        """Look at everything."""
        ...


class WorkersQueue:
    """A worker's way to its queue; calls wait while the actor is being restarted."""

    def __init__(self, actor: Any) -> None:
        from textinv.training.work import (
            IN_TRAINING,
        )  # torch and all: the actor, which imports this file, has none of it

        self._actor = actor
        self._in_training = IN_TRAINING
        self._report_every_s = 0.0
        self._reported: dict[str, float] = {}

    def take(self, card: WorkerCard, request: int) -> TakeReply:
        """Lease a spec."""
        reply: TakeReply = self._ask("take", card, request)
        return reply

    def beat(self, card: WorkerCard, held: Collection[str], trouble: str = "") -> BeatReply:
        """Renew leases, and say what is wrong with the worker's place."""
        reply: BeatReply = self._ask("beat", card, held, trouble)
        self._report_every_s = reply.report_every_s
        return reply

    def report(self, worker_id: str, fingerprint: str, report: StepReport) -> None:
        """Say how far a concept is, without waiting for an answer; in a large fleet only now and then."""
        now = time.monotonic()
        since_s = now - self._reported.get(fingerprint, -math.inf)
        if report.state == self._in_training and since_s < self._report_every_s:
            return
        self._reported[fingerprint] = now
        self._actor.report.remote(worker_id, fingerprint, report)

    def finish(self, worker_id: str, fingerprint: str, version: int | None) -> None:
        """Say that a concept or a guess was published."""
        self._reported.pop(fingerprint, None)
        self._ask("finish", worker_id, fingerprint, version)

    def fail(self, worker_id: str, fingerprint: str, code: str, message: str) -> bool:
        """Say that a concept could not be learned; whether it is given up for good."""
        return bool(self._ask("fail", worker_id, fingerprint, code, message))

    def hand_back(self, worker_id: str, fingerprints: Collection[str]) -> None:
        """Give leases back."""
        self._ask("hand_back", worker_id, fingerprints)

    def leave(self, worker_id: str, reason: str | None = None) -> None:
        """Go, or die of a reason."""
        self._ask("leave", worker_id, reason)

    def _ask(self, operation: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, operation).remote(*arguments))
        except RayError as error:
            raise ClusterError(f"the work queue does not answer to {operation}: {error}") from error


class DriversQueue:
    """A driver's way to the queue of a base model, which it starts."""

    def __init__(self, fleet: str, base: BaseModelRef, lease_s: float) -> None:
        self._name = base.queue_name(fleet)
        self._actor = start_queue(fleet, base, lease_s)

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        """Make a place for a job."""
        self._ask("open_job", job_id, priority, keep_rows=keep_rows)

    def add(self, job_id: str, specs: Sequence[SpecRef], settled: Mapping[str, str] | None = None) -> frozenset[str]:
        """Add specs to a job, or say again how they stand; those of them that were dropped."""
        dropped: frozenset[str] = self._ask("add", job_id, specs, settled)
        return dropped

    def recall(self, deaths: Mapping[str, tuple[Death, ...]]) -> None:
        """Say who died with specs before."""
        self._ask("recall", deaths)

    def close_job(self, job_id: str) -> None:
        """Forget a job."""
        self._ask("close_job", job_id)

    def dismiss(self, crews: Sequence[str]) -> None:
        """Let crews go."""
        self._ask("dismiss", crews)

    def bury_crew(self, crew: str) -> None:
        """Say that a crew is gone."""
        self._ask("bury_crew", crew)

    def view(self, events_from: int = 0) -> QueueView:
        """Look at everything."""
        view: QueueView = self._ask("view", events_from)
        return view

    def _ask(self, operation: str, *arguments: Any, **named: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, operation).remote(*arguments, **named), timeout=PATIENCE_S)
        except RayError as error:
            raise ClusterError(f"the work queue {self._name} does not answer to {operation}: {error}") from error
