"""The list of concepts as callers page and search it.

Owns a snapshot of the catalog that is a few seconds old at most, so that a page of 100,000 concepts costs no listing.
"""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from textinv.registry import ConceptSummary, Registry

_KEPT_S = 3.0


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
        self._snapshot: tuple[float, Sequence[ConceptSummary]] = (float("-inf"), ())
        self._reading = threading.Lock()

    def all(self) -> Sequence[ConceptSummary]:
        """List all concepts, in order of their names.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._reading:
            if self._clock() - self._snapshot[0] > self._kept_s:
                asked_at = self._clock()
                self._snapshot = asked_at, tuple(sorted(self._registry.list(), key=lambda one: one.name))
            return self._snapshot[1]

    def forget(self) -> None:
        """Read the catalog at the next question."""
        self._snapshot = (float("-inf"), ())

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
