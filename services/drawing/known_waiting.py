"""What a front knows of what waits at its studios, so that it can send callers away without asking.

Owns believing for a moment what each studio said last, and the requests that have been sent and not answered yet. A
request is sent away here only when no studio that is known has room for it: whoever has been silent is asked again, and
a studio that has just come is found by the requests that take the places of those that end. Does not know Ray.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from services.drawing.studio import Waiting
from textinv.errors import OverloadedError
from textinv.generation.request import GenerateRequest
from textinv.generation.waiting_line import check_room

BELIEVED_S = 1.0
"""So long holds what a studio said: no caller is told to come back sooner."""
FORGOTTEN_S = 60.0
"""A studio that has been silent for so long is gone; until then it may have room."""


@dataclass(frozen=True)
class _Said:
    waiting: Waiting
    at_s: float


class KnownWaiting:
    """What waits at all studios, as far as one front has heard of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, _Said] = {}
        self._sent: dict[object, tuple[float, int]] = {}

    def hear(self, waiting: Waiting | None) -> None:
        """Take in what a studio says."""
        if waiting is not None:
            self._said[waiting.studio] = _Said(waiting, self._clock())

    @contextmanager
    def sending(self, request: GenerateRequest) -> Iterator[Callable[[], None]]:
        """Count a request as one that waits at some studio, until it is answered: what is given is to be called then.

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
            self._refusal(said.waiting, request) if now_s - said.at_s < BELIEVED_S else None
            for said in self._said.values()
        ]
        known = [one for one in refusals if one is not None]
        if known and len(known) == len(refusals):
            raise min(known, key=lambda error: int(error.details["retry_after_s"]))

    def _refusal(self, waiting: Waiting, request: GenerateRequest) -> OverloadedError | None:
        """What a studio would say, by what waits there and the share of those sent that may have come to it since."""
        if request.num_images > waiting.limits.max_waiting:
            return None  # never has room, which only the studio says
        # Who was sent earlier is among those that were heard of, or waits for something else.
        since_s = self._clock() - BELIEVED_S
        num_sent = sum(num_images for at_s, num_images in self._sent.values() if at_s > since_s)
        num_waiting = waiting.num_waiting + num_sent // len(self._said)
        wait_s = waiting.wait_s * (num_waiting + 1) / (waiting.num_waiting + 1) if _is_native(request, waiting) else 0.0
        try:
            check_room(waiting.limits, num_waiting, request, wait_s)
        except OverloadedError as error:
            return error
        return None


def _is_native(request: GenerateRequest, waiting: Waiting) -> bool:
    """Whether the estimate is for pictures like these."""
    sides = {request.width_px or waiting.native_px, request.height_px or waiting.native_px}
    return request.init_image is None and sides == {waiting.native_px}
