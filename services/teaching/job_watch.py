"""Jobs that somebody follows: each is read once a second, however many readers it has on this front.

Owns turning one status after the other into changes, and remembering the last of them, so that a reader that comes back
misses none. Knows no HTTP. Nothing is read for a job that nobody follows.
"""

import asyncio
import logging
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from textinv.errors import ClusterError, ObjectNotFoundError, StoreError
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.jobs.layout import status_key
from textinv.jobs.status import has_ended, waiting_status

log = logging.getLogger(__name__)

EVERY_S = 1.0
PATIENCE_S = 30.0
"""A store may be silent for so long before readers are told."""
_RECORD_EVERY = 5
_REVIVE_EVERY = 15
_MAX_REVIVALS = 3
_MAX_KEPT = 2000
_MAX_WATCHES = 256


@dataclass(frozen=True)
class Change:
    """Something about a job is not as it was."""

    status: JobStatus


@dataclass(frozen=True)
class ConceptChange(Change):
    """A concept's state is another one, or it has stopped."""

    concept: ConceptStatus


@dataclass(frozen=True)
class ConceptProgress(ConceptChange):
    """A concept went on; `points` of its curve are new."""

    points: Sequence[tuple[int, float]]


@dataclass(frozen=True)
class NewPreview(ConceptChange):
    """A concept has a preview of this step."""

    step: int


class JobWatch:
    """One job that is followed; for readers in one event loop."""

    def __init__(self, job_store: JobStore, record: JobRecord, revive: Callable[[], object] = lambda: None) -> None:
        """`revive` makes sure that a driver lives; it is called now and then while the job is not over."""
        self.token = secrets.token_hex(4)
        self.record = record
        self.status = waiting_status(record)
        self.number = 0
        """Of the last change."""
        self.rounds = 0
        self._job_store, self._revive = job_store, revive
        self._changes: deque[tuple[int, Change]] = deque(maxlen=_MAX_KEPT)
        self._tag: str | None = None
        self._looked_at = float("-inf")
        self._answered_at = time.monotonic()
        self._num_revivals = 0
        self._looking = asyncio.Lock()

    @property
    def ended(self) -> bool:
        """Whether the job is over."""
        return has_ended(self.status, self.record)

    async def next_round(self, seen: int) -> int:
        """Wait until the job was looked at after round `seen`; the number of that round.

        Raises:
            StoreError: the store has not answered for long.
        """
        async with self._looking:
            if self.rounds <= seen:
                await asyncio.sleep(self._looked_at + EVERY_S - time.monotonic())
                await self._look()
        return self.rounds

    def since(self, number: int) -> list[tuple[int, Change]] | None:
        """The changes after a number; None when they are not all known any more."""
        oldest = self._changes[0][0] if self._changes else self.number + 1
        if not oldest - 1 <= number <= self.number:
            return None
        return [(one, change) for one, change in self._changes if one > number]

    async def _look(self) -> None:
        try:
            await asyncio.to_thread(self._read)
            self._answered_at = time.monotonic()
        except StoreError:
            if time.monotonic() - self._answered_at > PATIENCE_S:
                raise
        finally:
            self._looked_at = time.monotonic()
            self.rounds += 1

    def _read(self) -> None:
        if self.rounds % _RECORD_EVERY == 0:
            self.record = self._job_store.load(self.record.id)
        if self.rounds % _REVIVE_EVERY == _REVIVE_EVERY - 1 and not self.ended:
            self._keep_alive()
        found = self._changed_status()
        if found is not None:
            if found.generation > self.record.generation:
                self.record = self._job_store.load(self.record.id)
            for change in changes_between(self.status, found):
                self.number += 1
                self._changes.append((self.number, change))
            self.status = found

    def _changed_status(self) -> JobStatus | None:
        """The job's status, if it is another one than before and speaks of the job as it is now."""
        key = status_key(self.record.id)
        with suppress(ObjectNotFoundError):
            stored = self._job_store.store.get(key) if self._tag is None else None
            stored = stored or self._job_store.store.get_if_changed(key, self._tag or "")
            if stored is not None:
                self._tag = stored.etag
                status = self._job_store.current_status(self.record, stored.body)
                return status if status != self.status else None
        return None

    def _keep_alive(self) -> None:
        if self._num_revivals < _MAX_REVIVALS:
            with suppress(ClusterError):
                self._num_revivals += bool(self._revive())


class JobWatches:
    """The jobs that are followed on this front, and those that were lately."""

    def __init__(self, job_store: JobStore) -> None:
        self._job_store = job_store
        self._watches: OrderedDict[str, JobWatch] = OrderedDict()

    def of(self, record: JobRecord, revive: Callable[[], object] = lambda: None) -> JobWatch:
        """The watch of a job."""
        watch = self._watches.get(record.id)
        if watch is None:
            watch = self._watches[record.id] = JobWatch(self._job_store, record, revive)
        if record.generation > watch.record.generation:
            watch.record = record
        self._watches.move_to_end(record.id)
        while len(self._watches) > _MAX_WATCHES:
            self._watches.popitem(last=False)
        return watch


def changes_between(before: JobStatus, after: JobStatus) -> Iterator[Change]:
    """What is not as it was: of each concept its progress, previews and state, then of the job as a whole."""
    known = {one.fingerprint: one for one in before.concepts}
    for concept in after.concepts:
        old = known.get(concept.fingerprint) or concept.model_copy(
            update={"state": "waiting", "step": 0, "loss": None, "curve": (), "previews": ()}
        )
        points = [point for point in concept.curve if point not in old.curve]
        if concept.step != old.step and not concept.curve and concept.loss is not None:
            points = [(concept.step, concept.loss)]
        if points or concept.step != old.step:
            yield ConceptProgress(after, concept, points)
        for step in concept.previews:
            if step not in old.previews:
                yield NewPreview(after, concept, step)
        if (concept.state, concept.stopped) != (old.state, old.stopped):  # it is scored after it stopped
            yield ConceptChange(after, concept)
    yield Change(after)
