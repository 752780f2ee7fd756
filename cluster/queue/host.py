"""A driver's way to the queues: the protocol, and the host that starts one actor for each base model.

Owns the actors. Does not know jobs.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import ray
from ray.exceptions import RayError

from cluster.queue.actor import start_queue
from cluster.queue.lease import Death, Entry
from cluster.queue.views import QueueView
from cluster.worker.order import BaseOrder
from textinv.errors import ClusterError

PATIENCE_S = 60.0
"""A queue that is being restarted answers within seconds."""


class QueueForDriver(Protocol):
    """What a driver asks of a queue; `WorkQueue` has these too."""

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        """Make a line for a job."""
        ...

    def add(self, job_id: str, entries: Sequence[Entry], settled: Mapping[str, str] | None = None) -> frozenset[str]:
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


class QueueHandle:
    """Speaks to a queue's actor for a driver."""

    def __init__(self, name: str, lease_s: float) -> None:
        self.name = name
        self._actor = start_queue(name, lease_s)

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        """Make a line for a job."""
        self._ask("open_job", job_id, priority, keep_rows)

    def add(self, job_id: str, entries: Sequence[Entry], settled: Mapping[str, str] | None = None) -> frozenset[str]:
        """Add specs to a job, or say again how they stand; those of them that were dropped."""
        dropped: frozenset[str] = self._ask("add", job_id, entries, settled or {})
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

    def _ask(self, operation: str, *arguments: Any) -> Any:
        try:
            return ray.get(getattr(self._actor, operation).remote(*arguments), timeout=PATIENCE_S)
        except RayError as error:
            raise ClusterError(f"the work queue {self.name} does not answer to {operation}: {error}") from error


def queue_name(base: BaseOrder) -> str:
    """The name of a base model's queue."""
    return f"queue-{base.key[:24]}"
