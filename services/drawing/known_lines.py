"""What a front knows of the lines before its studios, so that it can send callers away without asking.

Owns believing for a moment what each studio said last, and the requests that have been sent and not answered yet. A
request is sent away here only when no studio that is known has room for it: whoever has been silent is asked again, and
a studio that has just come is found by the requests that take the places of those that end. Does not know Ray.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.drawing.studio import Line
from textinv.errors import OverloadedError
from textinv.generation.request import GenerateRequest
from textinv.generation.waiting_line import check_room

BELIEVED_S = 1.0
"""So long holds what a studio said: no caller is told to come back sooner."""
FORGOTTEN_S = 60.0
"""A studio that has been silent for so long is gone; until then it may have room."""


@dataclass(frozen=True)
class _Said:
    line: Line
    at_s: float


class KnownLines:
    """The lines of all studios, as far as one front has heard of them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, _Said] = {}
        self._sent: dict[object, tuple[float, int]] = {}

    def hear(self, line: Line | None) -> None:
        """Take in what a studio says."""
        if line is not None:
            self._said[line.studio] = _Said(line, self._clock())

    @contextmanager
    def sending(self, request: GenerateRequest) -> Iterator[Callable[[], None]]:
        """Count a request as one that comes to the lines, until it is answered: what is given is to be called then.

        Raises:
            OverloadedError: no studio has room for it.
        """
        self._check(request)
        key = object()
        self._sent[key] = self._clock(), request.num_images

        def answered() -> None:
            self._sent.pop(key, None)

        try:
            yield answered
        finally:
            answered()

    def _check(self, request: GenerateRequest) -> None:
        now_s = self._clock()
        self._said = {studio: said for studio, said in self._said.items() if now_s - said.at_s < FORGOTTEN_S}
        refusals = [
            self._refusal(said.line, request) if now_s - said.at_s < BELIEVED_S else None
            for said in self._said.values()
        ]
        known = [one for one in refusals if one is not None]
        if known and len(known) == len(refusals):
            raise min(known, key=lambda error: int(error.details["retry_after_s"]))

    def _refusal(self, line: Line, request: GenerateRequest) -> OverloadedError | None:
        """What a studio would say, by its line and the share of those sent that may have come to it since."""
        if request.num_images > line.limits.max_waiting:
            return None  # never has room, which only the studio says
        # Who was sent earlier is in the line that was heard of, or waits for something else.
        since_s = self._clock() - BELIEVED_S
        num_sent = sum(num_images for at_s, num_images in self._sent.values() if at_s > since_s)
        num_waiting = line.num_waiting + num_sent // len(self._said)
        wait_s = line.wait_s * (num_waiting + 1) / (line.num_waiting + 1) if _is_native(request, line) else 0.0
        try:
            check_room(line.limits, num_waiting, request, wait_s)
        except OverloadedError as error:
            return error
        return None


def _is_native(request: GenerateRequest, line: Line) -> bool:
    """Whether the estimate is for pictures like these."""
    sides = {request.width_px or line.native_px, request.height_px or line.native_px}
    return request.init_image is None and sides == {line.native_px}
