"""The list of jobs as callers page it.

Owns a snapshot of the records that is a few seconds old at most; a record that did not change since is not read again.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from textinv.errors import UnknownConceptError
from textinv.jobs import JobRecord, JobStatus, JobStore
from textinv.jobs.layout import JOBS, job_key

_KEPT_S = 2.0
_AT_ONCE = 16


class JobPage(NamedTuple):
    """A part of the list, and whether more follows."""

    jobs: Sequence[tuple[JobRecord, JobStatus]]
    has_more: bool
    total: int


class JobList:
    """All jobs of a job store, the last submitted first."""

    def __init__(
        self, job_store: JobStore, kept_s: float = _KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._job_store, self._kept_s, self._clock = job_store, kept_s, clock
        self._known: dict[str, tuple[str, JobRecord]] = {}
        self._snapshot: tuple[float, Sequence[JobRecord]] = (float("-inf"), ())
        self._reading = threading.Lock()

    def all(self) -> Sequence[JobRecord]:
        """List all jobs.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._reading:
            if self._clock() - self._snapshot[0] > self._kept_s:
                self._snapshot = self._clock(), self._read()
            return self._snapshot[1]

    def forget(self) -> None:
        """Read the store at the next question."""
        self._snapshot = (float("-inf"), ())

    def page(self, after: str, limit: int, prefix: str = "", state: str | None = None) -> JobPage:
        """The next `limit` jobs behind the one with the id `after`, of those whose concepts start with `prefix`.

        Raises:
            StoreError: the store cannot be read.
        """
        mine = [record for record in self.all() if record.name_prefix.startswith(prefix)]
        if state is not None:
            mine = [record for record, status in self._with_status(mine) if status.state == state]
        start = next((index + 1 for index, record in enumerate(mine) if record.id == after), 0)
        rows = self._with_status(mine[start : start + limit])
        return JobPage(rows, start + limit < len(mine), len(mine))

    def _with_status(self, records: Sequence[JobRecord]) -> list[tuple[JobRecord, JobStatus]]:
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(
                zip(records, threads.map(lambda one: self._job_store.current_status(one), records), strict=True)
            )

    def _read(self) -> list[JobRecord]:
        tags = {info.key: info.etag for info in self._job_store.store.list(JOBS) if info.key.endswith("/job.json")}
        changed = [key for key, tag in tags.items() if self._known.get(key, ("",))[0] != tag]
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            fresh = list(threads.map(self._load, changed))
        self._known = {key: known for key, known in self._known.items() if key in tags}
        self._known |= {job_key(one.id): (tags[job_key(one.id)], one) for one in fresh if one is not None}
        records = [record for _, record in self._known.values()]
        return sorted(records, key=lambda record: (record.submitted, record.id), reverse=True)

    def _load(self, key: str) -> JobRecord | None:
        try:
            return self._job_store.load(key.split("/")[1])
        except UnknownConceptError:
            return None  # deleted since it was listed
