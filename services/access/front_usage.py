"""What a front asks of `Usage`: `FrontUsage`, the one way to it.

Owns telling what this front draws, and going on alone while what all fronts share does not answer: then this front
counts for itself, as the only front of a service does. Knows neither HTTP nor Ray.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.access.in_flight import InFlight
from services.access.keys import ApiKey
from services.access.usage import RequestProgress, Usage
from textinv.errors import NotReadyError

log = logging.getLogger(__name__)

TELL_EVERY_S = 0.25

AskUsage = Callable[..., Awaitable[Any]]
"""Calls a method of the `Usage` that several fronts share, by name and arguments; `NotReadyError`: it is not there."""


class FrontUsage:
    """The usage of keys and callers, as one front sees and changes it."""

    def __init__(self, in_flight: InFlight, shared: AskUsage | None = None) -> None:
        """`shared` None: this is the only front."""
        self._in_flight = in_flight
        self._shared = shared
        self._own = Usage()
        self._front = uuid.uuid4().hex
        self._places: dict[str, str] = {}
        self._told_sketches: dict[str, NDArray[np.uint8] | None] = {}
        self._num_open = 0
        self._telling: asyncio.Task[None] | None = None

    async def spend(self, key: ApiKey | None) -> None:
        """Count a request.

        Raises:
            OverloadedError: the key has used up its requests of this minute.
        """
        if key is not None and key.per_minute is not None:
            await self._ask("spend", key)

    @asynccontextmanager
    async def place(self, key: ApiKey | None) -> AsyncIterator[None]:
        """Hold a place for a request while it is drawn.

        Raises:
            OverloadedError: the key's other requests hold all of them.
        """
        place = uuid.uuid4().hex
        self._num_open += 1
        self._keep_telling()
        try:
            if key is not None and key.concurrency is not None:
                await self._enter(place, key)
            yield
        finally:
            self._num_open -= 1
            if self._places.pop(place, None) is not None:
                await self._leave(place)

    async def look(self, caller: str, *, sketches: bool) -> Sequence[RequestProgress]:
        """See a caller's requests, the oldest first; with `sketches` its next ones will have previews."""
        found: Sequence[RequestProgress] = await self._ask("look", caller, sketches)
        return found

    async def interrupt(self, caller: str) -> None:
        """Interrupt all requests of a caller: here at once, on other fronts when they tell next."""
        self._in_flight.interrupt(caller)
        await self._ask("interrupt", caller)

    async def is_watched(self, caller: str) -> bool:
        """Whether the caller looks at sketches."""
        return bool(await self._ask("is_watched", caller))

    async def note_end(self, caller: str, task: str) -> None:
        """Note that a task to which the caller gave a name has ended."""
        await self._ask("note_end", caller, task)

    async def has_ended(self, caller: str, task: str) -> bool:
        """Whether a task of that name has ended lately."""
        return bool(await self._ask("has_ended", caller, task))

    async def _ask(self, method: str, *arguments: Any) -> Any:
        if self._shared is not None:
            try:
                return await self._shared(method, *arguments)
            except NotReadyError as error:
                self._told_sketches = {}  # whoever answers next may know nothing
                log.warning("the usage of all fronts does not answer, this one counts for itself: %s", error)
        if method in ("enter", "look"):
            await self._own.tell(self._front, _progress_of(self._in_flight), list(self._places.items()))
        return await getattr(self._own, method)(*arguments)

    async def _enter(self, place: str, key: ApiKey) -> None:
        try:
            await self._ask("enter", self._front, place, key)
            self._places[place] = key.id
        except asyncio.CancelledError:
            await self._leave(place)  # it may have been heard
            raise

    async def _leave(self, place: str) -> None:
        # Whoever leaves may be cancelled already; what is not told now is told with the next list.
        await asyncio.shield(self._ask("leave", self._front, place))

    def _keep_telling(self) -> None:
        if self._shared is not None and (self._telling is None or self._telling.done()):
            self._telling = asyncio.create_task(self._tell_on(self._shared))

    async def _tell_on(self, shared: AskUsage) -> None:
        """Tell as long as something is under way, and once more when nothing is."""
        while True:
            open_before = self._num_open
            with suppress(NotReadyError):
                interrupted = await shared("tell", self._front, self._news(), list(self._places.items()))
                for one in self._in_flight.all():
                    if one.id in interrupted:
                        self._in_flight.stop(one)
            if not open_before and not self._num_open:
                return
            await asyncio.sleep(TELL_EVERY_S)

    def _news(self) -> list[RequestProgress]:
        """All that is under way; what has been told a sketch of already comes without it."""
        told, running = self._told_sketches, _progress_of(self._in_flight)
        self._told_sketches = {one.id: one.sketch for one in running}
        return [replace(one, sketch=None) if told.get(one.id) is one.sketch else one for one in running]


def _progress_of(in_flight: InFlight) -> list[RequestProgress]:
    return [
        RequestProgress(one.id, one.caller, one.num_steps, one.share, one.age_s, one.left_s, one.sketch, one.task_id)
        for one in in_flight.all()
    ]
