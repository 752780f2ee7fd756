"""What one front must know of all others: how much each key has used up, and what each caller has drawn now.

`Ledger` is what routes ask. `OwnLedger` is that of a service with one front. With several, each keeps a `SharedLedger`,
which asks and tells one `Book`: there limits hold once for all fronts, and progress and interrupts reach every front.
Knows neither HTTP nor Ray: a book is in this process, or behind a Serve handle.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from services.access.allowances import Allowances, check_concurrency
from services.access.keys import ApiKey
from services.drawing.in_flight import EndedTasks, InFlight
from textinv.errors import OverloadedError, TextinvError

log = logging.getLogger(__name__)

TELL_EVERY_S = 0.25
# A front that has not told anything for so long is gone, and so are its requests.
_SILENT_S = 5.0
_FRESH_S = 1.0
# Previews cost decoding: callers get them who have looked at their progress within this time.
_WATCHED_S = 600.0
_MAX_CALLERS = 10_000


@dataclass(frozen=True, eq=False)
class Glance:
    """A request under way, as its caller may see it; `sketch` is the latest preview of its first picture."""

    id: str
    caller: str
    num_steps: int
    share: float
    age_s: float
    left_s: float
    sketch: NDArray[np.uint8] | None = None
    task_id: str = ""


class Told(NamedTuple):
    """What a front learns when it tells: which of its requests are to be interrupted."""

    interrupted: tuple[str, ...]


class Ledger(Protocol):
    """What routes ask."""

    async def spend(self, key: ApiKey | None) -> None:
        """Count a request.

        Raises:
            OverloadedError: the key has used up its requests of this minute.
        """
        ...

    def place(self, key: ApiKey | None) -> AbstractAsyncContextManager[None]:
        """Hold a place for a request while it is drawn.

        Raises:
            OverloadedError: the key's other requests hold all of them.
        """
        ...

    async def look(self, caller: str, *, sketches: bool) -> Sequence[Glance]:
        """See a caller's requests, the oldest first; with `sketches` its next ones will have previews."""
        ...

    async def interrupt(self, caller: str) -> None:
        """Interrupt all requests of a caller."""
        ...

    async def is_watched(self, caller: str) -> bool:
        """Whether the caller looks at sketches."""
        ...

    async def note_end(self, caller: str, task: str) -> None:
        """Note that a task to which the caller gave a name has ended."""
        ...

    async def has_ended(self, caller: str, task: str) -> bool:
        """Whether a task of that name has ended lately."""
        ...


class Watchers:
    """Callers who looked lately."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._seen: dict[str, float] = {}

    def add(self, caller: str) -> None:
        """Remember."""
        if len(self._seen) >= _MAX_CALLERS:
            self._seen.clear()
        self._seen[caller] = self._clock()

    def __contains__(self, caller: str) -> bool:
        return self._clock() - self._seen.get(caller, float("-inf")) < _WATCHED_S


class OwnLedger:
    """The ledger of the only front."""

    def __init__(self, in_flight: InFlight, clock: Callable[[], float] = time.monotonic) -> None:
        self._in_flight = in_flight
        self._allowances = Allowances(clock)
        self._watchers = Watchers(clock)
        self._ended = EndedTasks()

    async def spend(self, key: ApiKey | None) -> None:
        self._allowances.spend(key)

    @asynccontextmanager
    async def place(self, key: ApiKey | None) -> AsyncIterator[None]:
        with self._allowances.place(key):
            yield

    async def look(self, caller: str, *, sketches: bool) -> Sequence[Glance]:
        if sketches:
            self._watchers.add(caller)
        return [one for one in glances_of(self._in_flight) if one.caller == caller]

    async def interrupt(self, caller: str) -> None:
        self._in_flight.interrupt(caller)

    async def is_watched(self, caller: str) -> bool:
        return caller in self._watchers

    async def note_end(self, caller: str, task: str) -> None:
        self._ended.add(caller, task)

    async def has_ended(self, caller: str, task: str) -> bool:
        return (caller, task) in self._ended


class Book(Protocol):
    """What all fronts share; see `FrontBook`."""

    async def spend(self, key: ApiKey) -> None: ...
    async def enter(self, front: str, place: str, key: ApiKey) -> None: ...
    async def leave(self, front: str, place: str) -> None: ...
    async def tell(self, front: str, glances: Sequence[Glance], places: Sequence[tuple[str, str]]) -> Told: ...
    async def look(self, caller: str, sketches: bool) -> Sequence[Glance]: ...
    async def interrupt(self, caller: str) -> None: ...
    async def is_watched(self, caller: str) -> bool: ...
    async def note_end(self, caller: str, task: str) -> None: ...
    async def has_ended(self, caller: str, task: str) -> bool: ...


class SharedLedger:
    """The ledger of one of several fronts; while the book does not answer, this front counts for itself."""

    def __init__(self, in_flight: InFlight, book: Book) -> None:
        self._own = OwnLedger(in_flight)
        self._in_flight = in_flight
        self._book = book
        self._front = uuid.uuid4().hex
        self._places: dict[str, str] = {}
        self._shown: dict[str, NDArray[np.uint8] | None] = {}
        self._num_open = 0
        self._telling: asyncio.Task[None] | None = None

    async def spend(self, key: ApiKey | None) -> None:
        if key is None or key.per_minute is None:
            return
        try:
            await self._book.spend(key)
        except OverloadedError:
            raise
        except TextinvError as error:
            log.warning("the ledger of all fronts does not answer, this one counts for itself: %s", error)
            await self._own.spend(key)

    @asynccontextmanager
    async def place(self, key: ApiKey | None) -> AsyncIterator[None]:
        place = uuid.uuid4().hex
        self._num_open += 1
        self._keep_telling()
        try:
            if key is not None and key.concurrency is not None:
                await self._enter(place, key)
            async with self._own.place(key):
                yield
        finally:
            self._num_open -= 1
            if self._places.pop(place, None) is not None:
                await self._leave(place)

    async def look(self, caller: str, *, sketches: bool) -> Sequence[Glance]:
        try:
            return await self._book.look(caller, sketches)
        except TextinvError:
            return await self._own.look(caller, sketches=sketches)

    async def interrupt(self, caller: str) -> None:
        await self._own.interrupt(caller)
        with suppress(TextinvError):
            await self._book.interrupt(caller)

    async def is_watched(self, caller: str) -> bool:
        try:
            return await self._book.is_watched(caller)
        except TextinvError:
            return await self._own.is_watched(caller)

    async def note_end(self, caller: str, task: str) -> None:
        await self._own.note_end(caller, task)
        with suppress(TextinvError):
            await self._book.note_end(caller, task)

    async def has_ended(self, caller: str, task: str) -> bool:
        try:
            return await self._book.has_ended(caller, task)
        except TextinvError:
            return await self._own.has_ended(caller, task)

    async def _enter(self, place: str, key: ApiKey) -> None:
        try:
            await self._book.enter(self._front, place, key)
            self._places[place] = key.id
        except OverloadedError:
            raise
        except TextinvError as error:
            log.warning("the ledger of all fronts does not answer, this one counts for itself: %s", error)
        except asyncio.CancelledError:
            await self._leave(place)  # the book may have heard of it
            raise

    async def _leave(self, place: str) -> None:
        # Whoever leaves may be cancelled already; what is not told now is told with the next list.
        with suppress(TextinvError):
            await asyncio.shield(self._book.leave(self._front, place))

    def _keep_telling(self) -> None:
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell_on())

    async def _tell_on(self) -> None:
        """Tell as long as something is under way, and once more when nothing is."""
        while True:
            open_before = self._num_open
            with suppress(TextinvError):
                told = await self._book.tell(self._front, self._news(), list(self._places.items()))
                for one in self._in_flight.all():
                    if one.id in told.interrupted:
                        self._in_flight.stop(one)
            if not open_before and not self._num_open:
                return
            await asyncio.sleep(TELL_EVERY_S)

    def _news(self) -> list[Glance]:
        """All glances; those whose sketch was told already come without it."""
        glances = glances_of(self._in_flight)
        news = [replace(one, sketch=None) if self._shown.get(one.id) is one.sketch else one for one in glances]
        self._shown = {one.id: one.sketch for one in glances}
        return news


def glances_of(in_flight: InFlight) -> list[Glance]:
    """What is under way on a front."""
    return [
        Glance(one.id, one.caller, one.num_steps, one.share, one.age_s, one.left_s, one.sketch, one.task_id)
        for one in in_flight.all()
    ]


class _Place(NamedTuple):
    """A place that a key's request holds; `entered_at` by the book's clock, if it was told of it by `enter`."""

    key_id: str
    entered_at: float = float("-inf")


class FrontBook:
    """The book itself: what fronts have told lately."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowances = Allowances(clock)
        self._watchers = Watchers(clock)
        self._heard: dict[str, float] = {}
        self._glances: dict[str, dict[str, Glance]] = {}
        self._places: dict[str, dict[str, _Place]] = {}
        self._interrupts: dict[str, float] = {}
        self._ended = EndedTasks()

    async def spend(self, key: ApiKey) -> None:
        self._allowances.spend(key)

    async def enter(self, front: str, place: str, key: ApiKey) -> None:
        self._forget_silent()
        held = [one for places in self._places.values() for one in places.items() if one[0] != place]
        check_concurrency(key, sum(one.key_id == key.id for _, one in held))
        now = self._heard[front] = self._clock()
        self._places.setdefault(front, {})[place] = _Place(key.id, now)

    async def leave(self, front: str, place: str) -> None:
        self._places.get(front, {}).pop(place, None)

    async def tell(self, front: str, glances: Sequence[Glance], places: Sequence[tuple[str, str]]) -> Told:
        now = self._heard[front] = self._clock()
        before = self._glances.get(front, {})
        self._glances[front] = {one.id: _with_sketch(one, before.get(one.id)) for one in glances}
        old = self._places.get(front, {})
        # What was entered a moment ago may not be in the list yet.
        fresh = {place: one for place, one in old.items() if now - one.entered_at < _FRESH_S}
        self._places[front] = fresh | {place: old.get(place, _Place(key_id)) for place, key_id in places}
        self._forget_silent()
        return Told(
            tuple(one.id for one in glances if now - one.age_s <= self._interrupts.get(one.caller, float("-inf")))
        )

    async def look(self, caller: str, sketches: bool) -> Sequence[Glance]:
        if sketches:
            self._watchers.add(caller)
        self._forget_silent()
        found = [one for told in self._glances.values() for one in told.values() if one.caller == caller]
        return sorted(found, key=lambda one: -one.age_s)

    async def interrupt(self, caller: str) -> None:
        self._interrupts[caller] = self._clock()

    async def is_watched(self, caller: str) -> bool:
        return caller in self._watchers

    async def note_end(self, caller: str, task: str) -> None:
        self._ended.add(caller, task)
        for told in self._glances.values():  # its front tells so only with its next list
            for one in [one for one in told.values() if (one.caller, one.task_id) == (caller, task)]:
                del told[one.id]

    async def has_ended(self, caller: str, task: str) -> bool:
        return (caller, task) in self._ended

    def _forget_silent(self) -> None:
        now = self._clock()
        for front in [front for front, heard in self._heard.items() if now - heard > _SILENT_S]:
            for table in (self._heard, self._glances, self._places):
                table.pop(front, None)
        self._interrupts = {caller: at for caller, at in self._interrupts.items() if now - at < _SILENT_S}


def _with_sketch(one: Glance, before: Glance | None) -> Glance:
    return replace(one, sketch=before.sketch) if one.sketch is None and before is not None else one
