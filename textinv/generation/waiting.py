"""Pictures that wait for a place in the batch, and whose turn it is.

Owns fairness: callers take turns, and a picture whose turn it is is never overtaken, so no caller and no size starves.
Does not know what a picture costs: the engine says whether the next one fits.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar


class HasCaller(Protocol):
    """Anything that waits for a caller."""

    @property
    def caller(self) -> str:
        """Whose turn it takes."""
        ...


Item = TypeVar("Item", bound=HasCaller)


class WaitingLine(Generic[Item]):
    """One line per caller; the head of each is served in turn. Not safe between threads: the engine locks."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines.values():
            yield from line

    def add(self, item: Item) -> None:
        """Put at the end of its caller's line."""
        self._lines.setdefault(item.caller, deque()).append(item)

    def take(self, fits: Callable[[Item], bool]) -> Item | None:
        """Take the next item, if it fits; None when it does not, or when nothing waits."""
        if not self._lines:
            return None
        caller, line = next(iter(self._lines.items()))
        if not fits(line[0]):
            return None
        item = line.popleft()
        self._lines.move_to_end(caller)
        if not line:
            del self._lines[caller]
        return item

    def remove(self, gone: Callable[[Item], bool]) -> list[Item]:
        """Take out every item of which `gone` is true."""
        removed = [item for item in self if gone(item)]
        if removed:
            kept = [item for item in self if not gone(item)]
            self._lines.clear()
            for item in kept:
                self.add(item)
        return removed

    def ahead_of(self, caller: str) -> list[Item]:
        """List those that will be served before a newcomer of `caller`."""
        turns = len(self._lines.get(caller, ())) + 1
        return [item for name, line in self._lines.items() for item in list(line)[: turns if name != caller else None]]
