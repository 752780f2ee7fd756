"""Writing to the store beside training: one thread that never lets a slow store hold up a step.

Owns the order of writes (as they came in, but for those that were superseded meanwhile), and trying again after errors.
Does not know what is written.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from cluster.worker.place import Place
from textinv.errors import TextinvError
from textinv.threads import vital


class _Letter(NamedTuple):
    write: Callable[[], None]
    given_up: Callable[[TextinvError], None]
    subject: str
    waits: bool


class Outbox:
    """Does what it is given, one after the other, in a thread."""

    def __init__(self, wait: Callable[[float], object] | None = None, place: Place | None = None) -> None:
        """`wait` passes the seconds between two attempts; default: until they are over or the outbox hurries."""
        self._letters: deque[_Letter] = deque()
        self._news = threading.Condition()
        self._closed = False
        self._hurry = threading.Event()
        self._wait = wait or self._hurry.wait
        self._place = place or Place()
        self._thread = vital(self._work, "textinv-outbox")
        self._thread.start()

    def post(
        self,
        write: Callable[[], None],
        given_up: Callable[[TextinvError], None],
        *,
        subject: str = "",
        waits: bool = False,
    ) -> None:
        """Do `write` soon; `given_up` hears its error when trying again has no sense any more.

        It takes the place of what waits in the line with the same `subject`. What `waits` is not given up while the
        place is out of order.
        """
        with self._news:
            if subject:
                self._letters = deque(letter for letter in self._letters if letter.subject != subject)
            self._letters.append(_Letter(write, given_up, subject, waits))
            self._news.notify()

    def close(self, patience_s: float | None = None) -> bool:
        """Wait until everything is done; after `patience_s`, nothing is tried again. Whether all was tried."""
        with self._news:
            self._closed = True
            self._news.notify()
        self._thread.join(patience_s)
        if self._thread.is_alive():
            self._hurry.set()
            self._thread.join(1.0)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (letter := self._next()) is not None:
            try:
                self._place.patiently(letter.write, self._wait, self._hurry.is_set, endless=letter.waits)
            except TextinvError as error:
                letter.given_up(error)

    def _next(self) -> _Letter | None:
        with self._news:
            self._news.wait_for(lambda: self._letters or self._closed)
            return self._letters.popleft() if self._letters else None
