"""A worker's way to its queue: the protocol, and the client that speaks to the actor.

Owns where the queue is. Does not know what the answers mean; tests put a `WorkQueue` in the actor's place.
"""

import math
import time
from collections.abc import Collection
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

from cluster.queue.lease import Answer, Orders, StepReport, WorkerCard
from textinv.errors import ClusterError
from textinv.training.work import IN_TRAINING


class QueueForWorkers(Protocol):
    """What a worker asks of a queue; `WorkQueue` has these too."""

    def take(self, card: WorkerCard, request: int) -> Answer:
        """Lease a spec."""
        ...

    def beat(self, card: WorkerCard, held: Collection[str]) -> Orders:
        """Renew leases."""
        ...

    def report(self, worker: str, fingerprint: str, report: StepReport) -> None:
        """Say how far a concept is."""
        ...

    def finish(self, worker: str, fingerprint: str, version: int) -> None:
        """Say that a concept was published."""
        ...

    def fail(self, worker: str, fingerprint: str, code: str, message: str) -> bool:
        """Say that a concept could not be learned; whether it is given up for good."""
        ...

    def hand_back(self, worker: str, fingerprints: Collection[str]) -> None:
        """Give leases back."""
        ...

    def leave(self, worker: str, reason: str | None = None) -> None:
        """Go, or die of a reason."""
        ...


class QueueClient:
    """Speaks to a queue's actor; calls wait while the actor is being restarted."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._report_every_s = 0.0
        self._reported: dict[str, float] = {}

    def take(self, card: WorkerCard, request: int) -> Answer:
        """Lease a spec."""
        answer: Answer = self._ask("take", card, request)
        return answer

    def beat(self, card: WorkerCard, held: Collection[str]) -> Orders:
        """Renew leases."""
        orders: Orders = self._ask("beat", card, held)
        self._report_every_s = orders.report_every_s
        return orders

    def report(self, worker: str, fingerprint: str, report: StepReport) -> None:
        """Say how far a concept is, without waiting for an answer; in a large fleet only now and then."""
        now = time.monotonic()
        if report.state == IN_TRAINING and now - self._reported.get(fingerprint, -math.inf) < self._report_every_s:
            return
        self._reported[fingerprint] = now
        self._actor.report.remote(worker, fingerprint, report)

    def finish(self, worker: str, fingerprint: str, version: int) -> None:
        """Say that a concept was published."""
        self._reported.pop(fingerprint, None)
        self._ask("finish", worker, fingerprint, version)

    def fail(self, worker: str, fingerprint: str, code: str, message: str) -> bool:
        """Say that a concept could not be learned; whether it is given up for good."""
        return bool(self._ask("fail", worker, fingerprint, code, message))

    def hand_back(self, worker: str, fingerprints: Collection[str]) -> None:
        """Give leases back."""
        self._ask("hand_back", worker, fingerprints)

    def leave(self, worker: str, reason: str | None = None) -> None:
        """Go, or die of a reason."""
        self._ask("leave", worker, reason)

    def _ask(self, operation: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, operation).remote(*arguments))
        except RayError as error:
            raise ClusterError(f"the work queue does not answer to {operation}: {error}") from error
