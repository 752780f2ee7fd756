"""Removing what the service itself left in the store and nobody can ask for any more: pictures by URL, old answers.

Owns the layout that makes this cheap (`<kind>/<day>/<name>`, so that the oldest come first in a listing) and how much
is done at once. Does not know what the objects hold.
"""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from textinv.errors import TextinvError
from textinv.store.protocol import ObjectStore
from textinv.threads import vital

log = logging.getLogger(__name__)

PICTURES, REPLIES = "served/", "replies/"
# At most so many objects in one go; what is left waits for the next one, which then comes sooner.
_MAX_AT_ONCE = 1000
_EVERY_S, _SOON_S = 3600.0, 60.0


def day_of(seconds: float) -> str:
    """The day of a time, as it stands in keys."""
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()


def prune(store: ObjectStore, kind: str, kept_s: float, now: float, max_at_once: int = _MAX_AT_ONCE) -> int:
    """Remove objects of a kind whose whole day is longer ago than `kept_s`; how many, at most `max_at_once`.

    Raises:
        StoreError: the store cannot be listed or written.
    """
    first_kept = date.fromisoformat(day_of(now - kept_s))
    expired: list[str] = []
    for info in store.list(kind):
        if len(expired) >= max_at_once or not _is_before(info.key.removeprefix(kind), first_kept):
            break
        expired.append(info.key)
    store.delete(expired)
    return len(expired)


class Pruner:
    """Prunes a store now and then, from `start` to `stop`; several fronts may do so side by side."""

    def __init__(self, store: ObjectStore, url_expires_s: float, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        # An answer of the last second of a day may be asked for again for a day, each time with URLs that work for a
        # while, and the clocks of machines differ.
        answers_s = timedelta(days=1).total_seconds() + 3600.0
        self._kept_s = {PICTURES: answers_s + url_expires_s, REPLIES: answers_s}
        self._clock = clock
        self._stop = threading.Event()

    def start(self) -> None:
        """Prune in a thread of its own."""
        vital(self._run, "textinv-pruning").start()

    def stop(self) -> None:
        """Prune no more."""
        self._stop.set()

    def prune_once(self) -> bool:
        """Prune a bounded number of objects; whether there may be more.

        Raises:
            StoreError: the store cannot be listed or written.
        """
        removed = [prune(self._store, kind, kept_s, self._clock()) for kind, kept_s in self._kept_s.items()]
        if any(removed):
            log.info("removed %d expired pictures and %d expired answers", *removed)
        return max(removed) >= _MAX_AT_ONCE

    def _run(self) -> None:
        wait_s = _SOON_S
        # At random times, so that fronts do not all list at once.
        while not self._stop.wait(wait_s * random.uniform(0.5, 1.5)):
            wait_s = _EVERY_S
            try:
                wait_s = _SOON_S if self.prune_once() else _EVERY_S
            except TextinvError as error:
                log.warning("expired pictures and answers could not be removed: %s", error)


def _is_before(name: str, first_kept: date) -> bool:
    """Whether a key's day is before one; a key without a day is left by another release and counts as oldest."""
    try:
        return date.fromisoformat(name.partition("/")[0]) < first_kept
    except ValueError:
        return True
