"""The line before the batch: whose turn it is, how long it will take, and who is sent away.

Owns fairness: callers take turns, a caller's users take turns within its own, and a picture whose turn it is is never
overtaken, so no caller and no size starves. Owns the seconds of an inference step, from which waiting is estimated, and
the messages to those for whom there is no room or no time. Does not know what waits: the engine says what is left of
it, and whether the next one fits.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Generic, Literal, Protocol, TypeVar

from textinv.errors import DeadlineError, OverloadedError, RequestError
from textinv.generation.request import GenerateRequest, Size, Work
from textinv.models.room import find_knee

# Weight of the newest step in the running mean.
_NEWEST = 0.2
# A step that something else held up says little about the next ones: it counts as so many times the expected at most.
_MAX_SLOWER = 2.0


@dataclass(frozen=True)
class EngineLimits:
    """What an engine takes: pictures waiting, estimated wait for a place, pixels per picture (None: by native size)."""

    max_waiting: int = 256
    max_wait_s: float | None = None
    max_image_px: int | None = None


class HasCaller(Protocol):
    """Anything that waits for a caller."""

    @property
    def caller(self) -> str:
        """Whose turn it takes: `caller`, or `caller/user` for a user of it, of whom it may name as many as it likes."""
        ...


Item = TypeVar("Item", bound=HasCaller)


class WaitingLine(Generic[Item]):
    """One line per user of each caller; their heads are served in turn. Not safe between threads: the engine locks."""

    def __init__(self) -> None:
        self._callers: OrderedDict[str, OrderedDict[str, deque[Item]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for users in self._callers.values() for line in users.values())

    def __iter__(self) -> Iterator[Item]:
        for users in self._callers.values():
            for line in users.values():
                yield from line

    def add(self, item: Item) -> None:
        """Put at the end of its user's line."""
        caller, user = _split(item.caller)
        self._callers.setdefault(caller, OrderedDict()).setdefault(user, deque()).append(item)

    def take(self, fits: Callable[[Item], bool]) -> Item | None:
        """Take the next item, if it fits; None when it does not, or when nothing waits."""
        if not self._callers:
            return None
        caller, users = next(iter(self._callers.items()))
        user, line = next(iter(users.items()))
        if not fits(line[0]):
            return None
        item = line.popleft()
        self._callers.move_to_end(caller)
        users.move_to_end(user)
        if not line:
            del users[user]
        if not users:
            del self._callers[caller]
        return item

    def remove(self, gone: Callable[[Item], bool]) -> list[Item]:
        """Take out every item of which `gone` is true."""
        removed = [item for item in self if gone(item)]
        if removed:
            kept = [item for item in self if not gone(item)]
            self._callers.clear()
            for item in kept:
                self.add(item)
        return removed

    def ahead_of(self, newcomer: str) -> list[Item]:
        """List those that will be served before a newcomer: a caller, or `caller/user`."""
        caller, user = _split(newcomer)
        lines = {name: _in_turn(users) for name, users in self._callers.items()}
        lines[caller] = _ahead(self._callers.get(caller, {}), user)
        return _ahead(lines, caller)


class StepTimes:
    """Seconds of an inference step by size and number of pictures, and how many of a size share the batch.

    Known from what was measured beforehand, for a size that was not from its first steps; a running mean of what steps
    take against that corrects all of it. A size of which nothing is known goes by its area from the nearest.
    """

    def __init__(self, max_batch: int | Literal["auto"] = "auto") -> None:
        self.known_s: dict[Size, dict[int, float]] = {}
        """Seconds of one inference step by number of pictures."""
        self._fixed = None if max_batch == "auto" else max_batch
        self._knees: dict[Size, int] = {}
        self._slowdown = 1.0  # of real steps, with all that the machine does beside, against those known

    @property
    def ready(self) -> bool:
        """Whether batch limits can be told without measuring first."""
        return self._fixed is not None or bool(self._knees)

    @property
    def max_measured(self) -> int | None:
        """The most pictures that are worth measuring; None: as many as pay off."""
        return self._fixed

    def batch_limit(self, size: Size) -> int:
        """Tell the most pictures of a size in one batch, at least 1."""
        if self._fixed is not None:
            return self._fixed
        if size in self._knees:
            return self._knees[size]
        near = _nearest(self._knees, _area(size))
        return 1 if near is None else max(self._knees[near] * _area(near) // _area(size), 1)

    def start_from(self, size: Size, measured_s: Mapping[int, float]) -> None:
        """Take what was measured of a size."""
        self.known_s[size] = dict(measured_s)
        self._knees[size] = find_knee(measured_s)

    def observe(self, sizes: Sequence[Size], step_s: float) -> None:
        """Learn from one inference step over pictures of these sizes; mixed ones count by their share of the pixels."""
        total_px = sum(map(_area, sizes))
        most_s = _MAX_SLOWER * self._step_s(total_px / len(sizes), total_px) or step_s
        for size in set(sizes) - self._knees.keys():
            together = max(round(total_px / _area(size)), 1)
            # A new one: other threads may be reading the old one.
            self.known_s[size] = {together: min(step_s, most_s) / self._slowdown} | self.known_s.get(size, {})
        expected_s = self._step_s(total_px / len(sizes), total_px)
        if expected_s > 0:
            self._slowdown *= 1 - _NEWEST + _NEWEST * min(step_s / expected_s, _MAX_SLOWER)

    def place_s(self, before: Sequence[Work], size: Size) -> float:
        """Estimate when a place of a size is free behind others: when all are done but those that it can share with."""
        num_in_the_way = max(len(before) + 1 - self.batch_limit(size), 0)
        all_s = sum(num_steps * self._picture_s(other) for other, num_steps in before)
        return all_s * num_in_the_way / max(len(before), 1)

    def done_s(self, before: Sequence[Work], one: Work, together: int) -> float:
        """Estimate when a picture is done that comes behind others, while so many could share its batch."""
        size, num_steps = one
        together = min(together, self.batch_limit(size))
        return self.place_s(before, size) + num_steps * self._step_s(_area(size), together * _area(size))

    def _step_s(self, picture_px: float, total_px: float) -> float:
        """Seconds of a step over so many pixels, by the size nearest to its pictures; 0 while nothing is known."""
        near = _nearest(self.known_s, picture_px)
        if near is None:
            return 0.0
        known, pictures = self.known_s[near], total_px / _area(near)
        number = min(known, key=lambda number: abs(number - pictures))
        return known[number] * pictures / number * self._slowdown

    def _picture_s(self, size: Size) -> float:
        """Seconds of a step per picture, in the best batch; 0 while nothing is known."""
        near = _nearest(self.known_s, _area(size))
        if near is None:
            return 0.0
        most = self.batch_limit(near)
        per_picture_s = [step_s / number for number, step_s in self.known_s[near].items() if number <= most]
        return min(per_picture_s, default=0.0) * _area(size) / _area(near) * self._slowdown


def check_possible(limits: EngineLimits, request: GenerateRequest, alone_s: float) -> None:
    """Check that a request could be taken if nobody else had asked for anything; `alone_s` is what it takes then.

    Raises:
        RequestError: it has more pictures than may wait, or takes longer than its deadline allows.
    """
    if request.num_images > limits.max_waiting:
        raise RequestError(
            f"{request.num_images} pictures were asked for at once, but only {limits.max_waiting} may wait here; "
            f"ask for {limits.max_waiting} at most",
            param="num_images",
        )
    if request.deadline_s is not None and alone_s > request.deadline_s:
        raise RequestError(
            f"drawing alone takes about {alone_s:.1f} s, more than the deadline of {request.deadline_s:g} s; "
            "allow more time, or take fewer steps, fewer pictures or a smaller size",
            param="deadline_s",
        )


def check_room(limits: EngineLimits, num_waiting: int, request: GenerateRequest, wait_s: float) -> None:
    """Check that the line has room for all pictures of a request, and is not too slow.

    Raises:
        OverloadedError: it has not; `retry_after_s` says when it is likely to.
    """
    if num_waiting + request.num_images > limits.max_waiting:
        raise OverloadedError(
            f"the queue is full: {num_waiting} pictures wait and {limits.max_waiting} may; come back later",
            retry_after_s=max(1, math.ceil(wait_s * request.num_images / max(num_waiting, 1))),
        )
    if limits.max_wait_s is not None and wait_s > limits.max_wait_s and num_waiting:
        raise OverloadedError(
            f"a picture would wait about {wait_s:.1f} s, more than {limits.max_wait_s:g} s; come back later",
            retry_after_s=max(1, math.ceil(wait_s - limits.max_wait_s)),
        )


def check_deadline(request: GenerateRequest, needed_s: float) -> None:
    """Check that a request can be done in time behind those that came before it.

    Raises:
        DeadlineError: by the pace so far it cannot; `retry_after_s` says when it is likely to.
    """
    if request.deadline_s is not None and needed_s > request.deadline_s:
        raise DeadlineError(
            f"after those already waiting, the pictures would take about {needed_s:.1f} s, more than the deadline of "
            f"{request.deadline_s:g} s; come back later, or allow more time",
            needed_s=needed_s,
            retry_after_s=max(1, math.ceil(needed_s - request.deadline_s)),
        )


def _split(turn: str) -> tuple[str, str]:
    caller, _, user = turn.partition("/")
    return caller, user


def _in_turn(lines: Mapping[str, Sequence[Item]]) -> list[Item]:
    """All items of some lines in the order in which they are served."""
    return [item for heads in zip_longest(*lines.values()) for item in heads if item is not None]


def _ahead(lines: Mapping[str, Sequence[Item]], name: str) -> list[Item]:
    """All of the line of that name, and of each other as many as are served before the next one of it."""
    turns = len(lines.get(name, ())) + 1
    return [item for other, line in lines.items() for item in list(line)[: turns if other != name else None]]


def _nearest(sizes: Iterable[Size], area: float) -> Size | None:
    return min(list(sizes), key=lambda size: abs(_area(size) - area), default=None)


def _area(size: Size) -> int:
    return size[0] * size[1]
