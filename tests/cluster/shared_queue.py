"""A work queue that the threads of a test share, as processes share the actor: one operation at a time."""

import threading
from functools import wraps
from typing import Any, TypeVar

from cluster.driver.open_jobs import OpenJobs
from cluster.queue.messages import TakeReply, WorkerCard
from cluster.queue.queue import WorkQueue
from textinv.jobs import JobRecord
from textinv.registry import Registry

Queue = TypeVar("Queue", bound=WorkQueue)


class SharedQueue(WorkQueue):
    """A `WorkQueue` whose public operations wait for each other."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._lock = threading.RLock()  # an operation may use another
        super().__init__(*arguments, **named)

    def __getattribute__(self, name: str) -> Any:
        operation = super().__getattribute__(name)
        if name.startswith("_"):
            return operation

        @wraps(operation)
        def locked(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                return operation(*arguments, **named)

        return locked


class LetsGo(SharedQueue):
    """Dismisses a crew as soon as everything is settled, as a driver would."""

    def take(self, card: WorkerCard, request: int) -> TakeReply:
        """Lease a spec."""
        if not self.view().jobs[0].unsettled:
            self.dismiss([card.crew])
        return super().take(card, request)


def told(registry: Registry, record: JobRecord, queue: Queue) -> Queue:
    """The queue, with the job in it."""
    open_jobs = OpenJobs(registry, record.fleet)
    job = open_jobs.take_up(record.id)
    assert job is not None
    open_jobs.tell(job, queue)
    return queue
