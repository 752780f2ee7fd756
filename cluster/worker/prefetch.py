"""Fetching the next work beside training, so that a slow store never holds up a step.

Owns one fetch at a time in a thread of its own, and how long a step may wait for it. Does not know what is fetched.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future

from textinv.threads import beside
from textinv.training import Work

PATIENCE_S = 1.0
"""A step waits for a fetch until it is so old: most are done by then, and the slot is filled at once."""


class Prefetch:
    """The next work, while and after it is fetched."""

    def __init__(self, fetch: Callable[[], Work | None]) -> None:
        self._fetch = fetch
        self._under_way: Future[Work | None] | None = None
        self._begun = 0.0

    @property
    def is_under_way(self) -> bool:
        """Whether a fetch was begun whose result nobody has taken yet."""
        return self._under_way is not None

    def begin(self) -> None:
        """Begin to fetch, unless that was begun before."""
        if self._under_way is None:
            self._under_way, self._begun = Future(), time.monotonic()
            beside(lambda result=self._under_way: self._run(result), "textinv-prefetch").start()  # type: ignore[misc]

    def take(self) -> Work | None:
        """What was fetched; None as long as that takes, and when there is nothing. An error of the fetch is raised."""
        if self._under_way is None:
            return None
        try:
            left_s = self._begun + PATIENCE_S - time.monotonic()
            work = self._under_way.result(max(0.0, left_s))
        except TimeoutError:
            return None
        except BaseException:
            self._under_way = None
            raise
        self._under_way = None
        return work

    def _run(self, result: "Future[Work | None]") -> None:
        try:
            result.set_result(self._fetch())
        except BaseException as error:  # it is the step's that waits
            result.set_exception(error)
