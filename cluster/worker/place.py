"""The place that a worker works at: keys, permissions, the store, its disk, the base model's files. Is it in order, or
to be waited for?

A failure of the place says nothing of the work: it is handed back, or waits for the place, and is never given up for
it. Owns telling such failures from others, trying again, and the sentence by which a job says why it waits. Does not
know what is tried.
"""

from collections.abc import Callable
from typing import TypeVar

from cluster.queue.retries import pause_s, retry_of
from textinv.errors import TextinvError

Result = TypeVar("Result")
MAX_PAUSE_S = 60.0
"""A worker whose place is out of order takes work so often, to see whether it is still."""


def is_of_the_place(error: TextinvError) -> bool:
    """Whether an error is the place's, which any other work would meet as well."""
    return retry_of(error.code).place or error.details.get("status", 0) >= 500


class Place:
    """What a worker's last calls of the store say of its place; used by its threads."""

    def __init__(self) -> None:
        self.trouble = ""
        """What is wrong; empty when nothing is known to be."""
        self._failures = 0

    @property
    def pause_s(self) -> float:
        """Seconds until new work makes sense after what failed last."""
        return min(MAX_PAUSE_S, pause_s(self._failures)) if self.trouble else 0.0

    def patiently(
        self,
        call: Callable[[], Result],
        wait: Callable[[float], object],
        is_over: Callable[[], bool],
        *,
        endless: bool = False,
    ) -> Result:
        """Do a single call of the store or hub, again and again as the table of retries says; `wait` passes the seconds
        in between. What is `endless` is tried until the place is in order again.

        Raises:
            TextinvError: the call's last one, when trying again has no sense any more, or `is_over`.
        """
        attempt = 0
        while True:
            try:
                result = call()
            except TextinvError as error:
                of_the_place = self._hear(error)
                if is_over() or (attempt >= retry_of(error.code).calls and not (endless and of_the_place)):
                    raise
            else:
                self.trouble, self._failures = "", 0
                return result
            wait(pause_s(attempt))
            attempt += 1

    def _hear(self, error: TextinvError) -> bool:
        of_the_place = is_of_the_place(error)
        if of_the_place:
            self.trouble = f"{error.code}: {error.message}"
            self._failures += 1
        return of_the_place
