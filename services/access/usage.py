"""How much each key has used up, and what each caller has drawn now, over all fronts of a service: `Usage`.

Owns the counts, and what fronts have told of late. Knows neither HTTP nor Ray: it lives in the process of the only
front or, where there are several, in one of its own; `FrontUsage` is how a front asks it.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.access.keys import ApiKey
from textinv.errors import OverloadedError

_MINUTE_S = 60.0
# A front that has not told anything for so long is gone, and so are its requests.
_SILENT_S = 5.0
_FRESH_S = 1.0
# Previews cost decoding: callers get them who have looked at their progress within this time.
_WATCHED_S = 600.0
_MAX_KNOWN = 10_000
_MAX_ENDED = 1000


@dataclass(frozen=True, eq=False)
class RequestProgress:
    """A request under way, as its caller may see it; `sketch` is the latest preview of its first picture."""

    id: str
    caller: str
    num_steps: int
    share: float
    age_s: float
    left_s: float
    sketch: NDArray[np.uint8] | None = None
    task_id: str = ""


class _Place(NamedTuple):
    """A place that a key's request holds; `entered_at` by the clock here, if it was told of by `enter`."""

    key_id: str
    entered_at: float = float("-inf")


class Usage:
    """The counts; methods are coroutines because they may be asked from another process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left_of_minute: dict[str, tuple[float, float]] = {}
        self._watched_at: dict[str, float] = {}
        self._heard: dict[str, float] = {}
        self._running: dict[str, dict[str, RequestProgress]] = {}
        self._places: dict[str, dict[str, _Place]] = {}
        self._interrupts: dict[str, float] = {}
        self._ended: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def spend(self, key: ApiKey) -> None:
        """Count a request of a key.

        Raises:
            OverloadedError: the key has used up its requests of this minute.
        """
        if key.per_minute is None:
            return
        if len(self._left_of_minute) > _MAX_KNOWN:
            self._left_of_minute.clear()
        now = self._clock()
        left, since = self._left_of_minute.get(key.id, (float(key.per_minute), now))
        left = min(float(key.per_minute), left + (now - since) * key.per_minute / _MINUTE_S)
        if left < 1:
            wait_s = math.ceil((1 - left) * _MINUTE_S / key.per_minute)
            raise OverloadedError(
                f"the API key {key.id} may make {key.per_minute} requests per minute; come back in {wait_s} s",
                retry_after_s=wait_s,
            )
        self._left_of_minute[key.id] = left - 1, now

    async def enter(self, front: str, place: str, key: ApiKey) -> None:
        """Give a request of a key a place, until `leave`.

        Raises:
            OverloadedError: the key's other requests hold all of them.
        """
        self._forget_silent()
        held = [one for places in self._places.values() for name, one in places.items() if name != place]
        if key.concurrency is not None and sum(one.key_id == key.id for one in held) >= key.concurrency:
            raise OverloadedError(
                f"the API key {key.id} may have {key.concurrency} requests at the same time; wait for one to end",
                retry_after_s=1,
            )
        now = self._heard[front] = self._clock()
        self._places.setdefault(front, {})[place] = _Place(key.id, now)

    async def leave(self, front: str, place: str) -> None:
        """Take a place back."""
        self._places.get(front, {}).pop(place, None)

    async def tell(
        self, front: str, running: Sequence[RequestProgress], places: Sequence[tuple[str, str]]
    ) -> tuple[str, ...]:
        """Take in what a front draws and the places (with their keys' ids) there; what of it is to be interrupted.

        A request without a sketch has the one that was told before.
        """
        now = self._heard[front] = self._clock()
        before = self._running.get(front, {})
        self._running[front] = {one.id: _with_sketch(one, before.get(one.id)) for one in running}
        old = self._places.get(front, {})
        # What was entered a moment ago may not be in the list yet.
        fresh = {place: one for place, one in old.items() if now - one.entered_at < _FRESH_S}
        self._places[front] = fresh | {place: old.get(place, _Place(key_id)) for place, key_id in places}
        self._forget_silent()
        return tuple(one.id for one in running if now - one.age_s <= self._interrupts.get(one.caller, float("-inf")))

    async def look(self, caller: str, sketches: bool) -> Sequence[RequestProgress]:
        """See a caller's requests, the oldest first; with `sketches` its next ones will have previews."""
        if sketches:
            if len(self._watched_at) >= _MAX_KNOWN:
                self._watched_at.clear()
            self._watched_at[caller] = self._clock()
        self._forget_silent()
        found = [one for told in self._running.values() for one in told.values() if one.caller == caller]
        return sorted(found, key=lambda one: -one.age_s)

    async def is_watched(self, caller: str) -> bool:
        """Whether the caller looks at sketches."""
        return self._clock() - self._watched_at.get(caller, float("-inf")) < _WATCHED_S

    async def interrupt(self, caller: str) -> None:
        """Let fronts interrupt all requests of a caller that have begun by now."""
        self._interrupts[caller] = self._clock()

    async def note_end(self, caller: str, task: str) -> None:
        """Note that a task to which the caller gave a name has ended."""
        self._ended[caller, task] = None
        if len(self._ended) > _MAX_ENDED:
            self._ended.popitem(last=False)
        for told in self._running.values():  # its front tells so only with its next list
            for one in [one for one in told.values() if (one.caller, one.task_id) == (caller, task)]:
                del told[one.id]

    async def has_ended(self, caller: str, task: str) -> bool:
        """Whether a task of that name has ended lately."""
        return (caller, task) in self._ended

    def _forget_silent(self) -> None:
        now = self._clock()
        for front in [front for front, heard in self._heard.items() if now - heard > _SILENT_S]:
            for table in (self._heard, self._running, self._places):
                table.pop(front, None)
        self._interrupts = {caller: at for caller, at in self._interrupts.items() if now - at < _SILENT_S}


def _with_sketch(one: RequestProgress, before: RequestProgress | None) -> RequestProgress:
    return replace(one, sketch=before.sketch) if one.sketch is None and before is not None else one
