"""Writing to the store beside training: one thread that never lets a slow store hold up a step.

Owns the order of writes (as they came in), and trying again after errors by the table of retries. Does not know what is
written.
"""

import queue
import threading
from collections.abc import Callable
from typing import NamedTuple

from cluster.queue.retries import patiently
from textinv.errors import TextinvError


class _Letter(NamedTuple):
    write: Callable[[], None]
    given_up: Callable[[TextinvError], None]


class Outbox:
    """Does what it is given, one after the other, in a thread."""

    def __init__(self, wait: Callable[[float], object] | None = None) -> None:
        """`wait` passes the seconds between two attempts; default: until they are over or the outbox hurries."""
        self._letters: queue.Queue[_Letter | None] = queue.Queue()
        self._hurry = threading.Event()
        self._wait = wait or self._hurry.wait
        self._thread = threading.Thread(target=self._work, name="textinv-outbox", daemon=True)
        self._thread.start()

    def post(self, write: Callable[[], None], given_up: Callable[[TextinvError], None]) -> None:
        """Do `write` soon; `given_up` hears its error when trying again has no sense any more."""
        self._letters.put(_Letter(write, given_up))

    def close(self, patience_s: float | None = None) -> bool:
        """Wait until everything is done; after `patience_s`, nothing is tried again. Whether all was tried."""
        self._letters.put(None)
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._hurry.set()
            self._thread.join(1.0)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (letter := self._letters.get()) is not None:
            try:
                patiently(letter.write, self._wait, self._hurry.is_set)
            except TextinvError as error:
                letter.given_up(error)
