"""The list of concepts as callers page and search it.

Owns a snapshot of the catalog, so that a page of 100,000 concepts costs no listing. It is a few seconds old at most
where the store lists in a moment. Where it takes longer, it is read more seldom, so that reading takes a tenth of the
time at most, and callers get the one before while the next is being read; so they do, whatever its age, while the store
cannot be read.
"""

import logging
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from textinv.errors import CorruptObjectError, StoreError
from textinv.registry import ConceptSummary, Registry

log = logging.getLogger(__name__)

_KEPT_S = 3.0
_SHARE = 10
"""A snapshot is kept at least so many times as long as it took to read."""
_PATIENCE_S = 0.3
_OLDEST_S = 300.0


class Page(NamedTuple):
    """A part of the list, in order of names, and whether more follows."""

    concepts: Sequence[ConceptSummary]
    has_more: bool
    total: int


class ConceptList:
    """All concepts of a registry."""

    def __init__(
        self, registry: Registry, kept_s: float = _KEPT_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._kept_s = kept_s
        self._clock = clock
        self._snapshot: tuple[float, Sequence[ConceptSummary] | None] = (float("-inf"), None)
        self._reading = threading.Lock()
        self._reader: Future[Sequence[ConceptSummary]] | None = None
        self._took_s = 0.0
        self._num_forgotten = 0
        self._is_down = False
        self._corrupt: set[str] = set()
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="concept-list")

    def all(self) -> Sequence[ConceptSummary]:
        """List all concepts, in order of their names.

        Raises:
            StoreError: the store cannot be read, and has not been read since the start.
        """
        with self._reading:
            read_at, known = self._snapshot
            age_s = self._clock() - read_at
            if known is not None and age_s <= max(self._kept_s, _SHARE * self._took_s):
                return known
            if self._reader is None or self._reader.done():
                self._reader = self._readers.submit(self._read, self._num_forgotten)
            reader = self._reader
            can_wait = known is None or (age_s > _OLDEST_S and not self._is_down)
        try:
            return reader.result(None if can_wait else _PATIENCE_S)
        except TimeoutError:
            return known or ()
        except StoreError as error:
            if known is None:
                raise
            log.warning("the list of concepts stays as it was: %s", error)
            return known

    def at_hand(self) -> Sequence[ConceptSummary]:
        """The list as it was read last, without waiting for the store; one that is old is read again meanwhile."""
        with self._reading:
            read_at, known = self._snapshot
            if self._clock() - read_at > _OLDEST_S and (self._reader is None or self._reader.done()):
                self._reader = self._readers.submit(self._read, self._num_forgotten)
        return known or ()

    def forget(self) -> None:
        """Read the catalog at the next question."""
        with self._reading:
            self._snapshot = (float("-inf"), self._snapshot[1])
            self._num_forgotten += 1
            self._reader = None

    def page(self, search: str, after: str, limit: int, prefix: str = "", kind: str | None = None) -> Page:
        """Find concepts whose names hold `search` and start with `prefix`, the next `limit` behind the name `after`.

        `kind` (`object`, `style`) leaves out the others.

        Raises:
            StoreError: the store cannot be read.
        """
        matching = [
            one
            for one in self.all()
            if search.lower() in one.name and one.name.startswith(prefix) and kind in (None, one.kind)
        ]
        start = bisect_right([one.name for one in matching], after) if after else 0
        return Page(matching[start : start + limit], start + limit < len(matching), len(matching))

    def base_models(self, prefix: str = "") -> list[str]:
        """The base models of the concepts whose names start with `prefix`, in order.

        Raises:
            StoreError: the store cannot be read.
        """
        return sorted({one.base_model for one in self.all() if one.name.startswith(prefix)})

    def _read(self, num_forgotten: int) -> Sequence[ConceptSummary]:
        asked_at = self._clock()
        try:
            concepts = tuple(sorted(self._registry.list(on_corrupt=self._note_corrupt), key=lambda one: one.name))
        except StoreError:
            self._is_down = True
            raise
        with self._reading:
            self._is_down = False
            self._took_s = self._clock() - asked_at
            if num_forgotten == self._num_forgotten:
                self._snapshot = asked_at, concepts
        return concepts

    def _note_corrupt(self, name: str, error: CorruptObjectError) -> None:
        """One damaged concept must not hide the others; whoever asks for it by name is told, as the log is, once."""
        if name not in self._corrupt:
            self._corrupt.add(name)
            log.error("concept %s is not listed: %s", name, error)


def find_listed(concepts: Sequence[ConceptSummary], name: str) -> ConceptSummary | None:
    """Find a concept in a list that is in order of names."""
    at = bisect_left(concepts, name, key=lambda one: one.name)
    return concepts[at] if at < len(concepts) and concepts[at].name == name else None
