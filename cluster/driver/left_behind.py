"""Jobs that were left behind: open, and of a cluster's fleet that is gone.

A fleet is a cluster's session, so a cluster whose head was restarted is another one, and nobody would serve what
the one before it had. Owns when a fleet counts as gone, by the store's own clock, and taking its jobs over. Fleets of
home folders are left alone: whoever submitted there submits or resumes again.
"""

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime, timedelta

from textinv.errors import CorruptObjectError, UnknownConceptError
from textinv.jobs import JobStore
from textinv.jobs.cluster_driver import FLEETS_OF_CLUSTERS
from textinv.jobs.fleet import FLEETS, status_key
from textinv.jobs.layout import OPEN_JOBS

SILENT_FOR = timedelta(minutes=5)
"""A driver says every second how its fleet is; one that was silent for so long is gone."""
EVERY_S = 30.0


class LeftBehind:
    """Looks after the jobs of fleets that are gone, on behalf of a living fleet of a cluster."""

    def __init__(
        self,
        job_store: JobStore,
        fleet: str,
        clock: Callable[[], float] = time.monotonic,
        silent_for: timedelta = SILENT_FOR,
    ) -> None:
        self._job_store, self._fleet, self._clock, self._silent_for = job_store, fleet, clock, silent_for
        self._looked = -EVERY_S

    def take_over(self, passed: Collection[str]) -> list[str]:
        """Make those of these jobs this fleet's that are open and whose own is gone; looked at now and then. Which
        these were."""
        is_due = self._clock() - self._looked >= EVERY_S
        if not passed or not is_due or not self._fleet.startswith(FLEETS_OF_CLUSTERS):
            return []
        self._looked, store = self._clock(), self._job_store.store
        heard = {info.key: info.modified for info in store.list(FLEETS)}
        opened = {info.key.removeprefix(OPEN_JOBS): info.modified for info in store.list(OPEN_JOBS)}
        now = heard.get(status_key(self._fleet))  # a second ago, by the store's clock
        if now is None:
            return []
        limit = now - self._silent_for
        found = [job_id for job_id in passed if job_id in opened]
        return [job_id for job_id in found if self._is_taken_over(job_id, heard, opened[job_id], limit)]

    def _is_taken_over(self, job_id: str, heard: Mapping[str, datetime], opened: datetime, limit: datetime) -> bool:
        with suppress(UnknownConceptError, CorruptObjectError):
            owner = self._job_store.load(job_id).fleet
            if owner.startswith(FLEETS_OF_CLUSTERS) and max(heard.get(status_key(owner), opened), opened) < limit:
                return self._job_store.hand_over(job_id, owner, self._fleet)
        return False
