"""Pictures that wait for a place in the batch, and whose turn it is.

Owns fairness: callers take turns, a caller's users take turns within its own, and a picture whose turn it is is never
overtaken, so no caller and no size starves. Does not know what a picture costs: the engine says whether the next one
fits.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Generic, Protocol, TypeVar


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
