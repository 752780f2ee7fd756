"""Takes a job up as a driver does, tells a queue in another process of it, and prints how much memory that took."""

import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cluster.driver.open_jobs import OpenJobs
from cluster.queue.messages import SpecRef
from cluster.queue.queue import WorkQueue
from textinv.registry import Registry
from textinv.settings import load_settings
from textinv.store import connect_store


class QueueElsewhere:
    """A queue behind a pipe, as an actor is for a driver."""

    def __init__(self) -> None:
        self._mine, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        self._ask("open_job", job_id, priority)

    def add(self, job_id: str, specs: Sequence[SpecRef], settled: Mapping[str, str] | None = None) -> None:
        self._ask("add", job_id, specs, settled)

    def close_job(self, job_id: str) -> None:
        self._ask("close_job", job_id)

    def dismiss(self, crews: Sequence[str]) -> None:
        self._ask("dismiss", crews)

    def bury_crew(self, crew: str) -> None:
        self._ask("bury_crew", crew)

    def view(self, events_from: int = 0) -> Any:
        return self._ask("view", events_from)

    def end(self) -> None:
        self._process.kill()

    def _ask(self, operation: str, *arguments: Any) -> Any:
        self._mine.send((operation, arguments))
        return self._mine.recv()


def serve(pipe: Connection) -> None:
    """Be the queue."""
    queue = WorkQueue()
    while True:
        operation, arguments = pipe.recv()
        pipe.send(getattr(queue, operation)(*arguments))


def main() -> None:
    """Take up, tell, look, print."""
    registry, queue = Registry(connect_store(load_settings().settings.store)), QueueElsewhere()
    open_jobs = OpenJobs(registry, sys.argv[2])
    job = open_jobs.take_up(sys.argv[1])
    assert job is not None
    open_jobs.tell(job, queue)
    (shown,) = queue.view().jobs
    assert sum(shown.counts.values()) == job.record.num_concepts
    queue.end()
    print(1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]))


if __name__ == "__main__":
    main()
