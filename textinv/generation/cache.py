"""The cache of embeddings: every stored concept at hand, fetched when a prompt first names it.

Owns the bound in bytes, single flight and the revalidation of heads and versions. Knows of where concepts are stored
what `ConceptSource` says. Does not know the engine; a request waits for its own concepts, while the batch runs on.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from textinv.errors import CorruptObjectError, StoreError, UnknownConceptError
from textinv.generation.prompts import StoredConcept
from textinv.placeholders import ConceptRef

log = logging.getLogger(__name__)

# A name is asked for again after so long: within 5 s a new version is used, and a removed one no more.
REVALIDATE_S = 3.0
# A store that has not said so long whether a name means the same is not waited for: the known version is used on.
MAX_REVALIDATION_S = 2.0
DEFAULT_MAX_BYTES = 512 * 2**20
# What a cached version costs beside its rows: its record and the objects around it.
_OVERHEAD_BYTES = 4096

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ConceptSource(Protocol):
    """Where concepts are stored, as `Registry` is."""

    def resolve(self, ref: ConceptRef) -> StoredConcept:
        """Read what a name or a version means now."""
        ...

    def refresh(self, known: Any) -> StoredConcept:
        """Ask whether the head that `resolve` gave has moved since; the same object when it has not."""
        ...

    def check_present(self, name: str, version: int) -> Any:
        """Check that a version has not been removed."""
        ...


class Known(NamedTuple):
    """A version in the cache, and when it was last known to be there and what its name means."""

    published: StoredConcept
    checked_at: float


@dataclass(frozen=True, eq=False)
class Flight:
    """A fetch under way, shared by all who ask; `old` is the version that its name meant until now, if any is known."""

    future: Future[StoredConcept]
    old: StoredConcept | None
    overdue_at: float

    @property
    def patience_s(self) -> float | None:
        """How long to wait for it before `old` is used on; None: until it ends."""
        return None if self.old is None else max(self.overdue_at - time.monotonic(), 0.0)

    def wait(self) -> StoredConcept:
        """Wait for its end, or until it is overdue."""
        try:
            return self.future.result(self.patience_s)
        except TimeoutError:
            if self.old is None:
                raise
            return self.old


@dataclass
class CacheTally:
    """Counts since the start: look-ups answered from memory, versions fetched, names asked for again, failures."""

    hits: int = 0
    cold_loads: int = 0
    revalidations: int = 0
    failures: int = 0


class EmbeddingCache:
    """Stored concepts by name or version, at most `max_bytes` of them in memory. Safe between threads."""

    def __init__(
        self,
        source: ConceptSource,
        max_bytes: int = DEFAULT_MAX_BYTES,
        *,
        revalidate_s: float = REVALIDATE_S,
        max_revalidation_s: float = MAX_REVALIDATION_S,
        max_fetches: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = CacheTally()
        self._source = source
        self._revalidate_s = revalidate_s
        self._max_revalidation_s = max_revalidation_s
        self._clock = clock
        self._known: RecentlyUsed[ConceptRef, Known] = RecentlyUsed(max_bytes, _size_bytes)
        self._flights: dict[ConceptRef, Flight] = {}
        self._lock = threading.Lock()
        self._fetchers = ThreadPoolExecutor(max_fetches, thread_name_prefix="textinv-fetch")

    @property
    def num_bytes(self) -> int:
        """Bytes held now."""
        return self._known.num_bytes

    def resolve(self, refs: Iterable[ConceptRef]) -> Mapping[ConceptRef, StoredConcept]:
        """Find the version that each name means now, those not at hand fetched side by side.

        Raises:
            UnknownConceptError: there is no such concept or version.
            CorruptObjectError: stored bytes are not those that were written.
            StoreError: the store cannot be read; nothing is remembered of it.
        """
        return {ref: one.wait() if isinstance(one, Flight) else one for ref, one in self.look_up(refs).items()}

    def look_up(self, refs: Iterable[ConceptRef]) -> Mapping[ConceptRef, StoredConcept | Flight]:
        """Find what is at hand, and begin to fetch the rest, side by side; never waits."""
        return {ref: self._fresh(ref) or self._fly(ref) for ref in refs}

    def close(self) -> None:
        """Let the fetching threads end."""
        self._fetchers.shutdown(wait=False, cancel_futures=True)

    def _fresh(self, ref: ConceptRef) -> StoredConcept | None:
        known = self._at_hand(ref)
        if known is None or self._clock() - known.checked_at > self._revalidate_s:
            return None
        self.tally.hits += 1
        return known.published

    def _at_hand(self, ref: ConceptRef) -> Known | None:
        """What is known of a name; a version may be known as the current one."""
        known = self._known.get(ref)
        if known is None and ref.version is not None:
            head = self._known.get(ConceptRef(ref.name))
            known = head if head is not None and head.published.version == ref.version else None
        return known

    def _fly(self, ref: ConceptRef) -> Flight:
        with self._lock:
            flight = self._flights.get(ref)
            if flight is None:
                known = self._at_hand(ref)
                old, overdue_at = known and known.published, time.monotonic() + self._max_revalidation_s
                flight = self._flights[ref] = Flight(self._fetchers.submit(self._fetch, ref), old, overdue_at)
            return flight

    def _fetch(self, ref: ConceptRef) -> StoredConcept:
        try:
            old = self._at_hand(ref)
            new = self._load(ref) if old is None else self._revalidate(ref, old.published)
            self._known.put(ref, new)
            return new.published
        except Exception as error:
            self.tally.failures += 1
            if isinstance(error, UnknownConceptError):
                self._forget(ref)
            raise
        finally:
            with self._lock:
                self._flights.pop(ref, None)

    def _load(self, ref: ConceptRef) -> Known:
        self.tally.cold_loads += 1
        asked_at = self._clock()
        return Known(self._source.resolve(ref), asked_at)

    def _revalidate(self, ref: ConceptRef, known: StoredConcept) -> Known:
        """Ask whether the head has moved, or whether a version, which never changes, is still there."""
        self.tally.revalidations += 1
        asked_at = self._clock()
        try:
            if ref.version is None:
                return Known(self._source.refresh(known), asked_at)
            self._source.check_present(ref.name, ref.version)
            return Known(known, asked_at)
        except CorruptObjectError:
            raise
        except StoreError as error:
            log.warning(
                "the store could not be asked for %s, version %d is used on: %s", known.name, known.version, error
            )
            return Known(known, self._clock())  # from now on: a dead store is slow to say so

    def _forget(self, gone: ConceptRef) -> None:
        """Forget a removed version by all its names, or a removed concept with all its versions."""
        self._known.drop(lambda ref, known: ref.name == gone.name and gone.version in (None, known.published.version))


def _size_bytes(known: Known) -> int:
    return _OVERHEAD_BYTES + known.published.embedding.size_bytes


class RecentlyUsed(Generic[Key, Value]):
    """A mapping of at most `max_bytes` that forgets what was used longest ago. Safe between threads.

    `size_bytes` tells the size of a value; one that is larger than all the room is not kept.
    """

    def __init__(self, max_bytes: int, size_bytes: Callable[[Value], int]) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._size_bytes = size_bytes
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """Look up, and count as used now."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> None:
        """Remember, and forget the oldest until all fit."""
        with self._lock:
            self._forget(key)
            self._values[key] = value
            self.num_bytes += self._size_bytes(value)
            while self.num_bytes > self.max_bytes:
                self._forget(next(iter(self._values)))

    def drop(self, gone: Callable[[Key, Value], bool]) -> None:
        """Forget every value of which `gone` is true."""
        with self._lock:
            for key in [key for key, value in self._values.items() if gone(key, value)]:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.num_bytes -= self._size_bytes(value)
