"""Which work comes into a pack next.

Owns the concepts that wait: those that memory displaced, and those of another size than the pack's, whose own pack
begins when the last slot is empty; until then a few concepts may overtake them. Does not know slots.
"""

from collections import deque
from collections.abc import Callable, Iterable

from textinv.training.work import Work, WorkSource


class Intake:
    """Takes work from a source, and keeps what has to wait."""

    def __init__(self, source: WorkSource) -> None:
        self._source = source
        self._waiting: deque[Work] = deque()
        self._num_overtakers = 0
        """Concepts that came into the pack while others waited for one of their own size."""

    @property
    def waiting(self) -> Iterable[Work]:
        """What was taken from the source and is in no slot."""
        return self._waiting

    @property
    def is_over(self) -> bool:
        """Whether nothing waits and nothing will come."""
        return not self._waiting and self._source.finished

    def next(self, fits: Callable[[Work], bool], num_slots: int) -> Work | None:
        """What waits and fits, longest first; else new work, as much as the pack has slots while others wait."""
        for place, work in enumerate(self._waiting):
            if fits(work):
                del self._waiting[place]
                return work
        if not self._waiting:
            self._num_overtakers = 0
        while not self._waiting or max(self._num_overtakers, len(self._waiting)) < num_slots:
            taken = self._source.take()
            if taken is None or fits(taken):
                return taken
            self._waiting.append(taken)
        return None

    def came_in(self) -> None:
        """What was handed out last has a slot."""
        self._num_overtakers += bool(self._waiting)

    def wait(self, work: Work, *, first: bool = False) -> None:
        """Keep work until it fits, behind what waits already or before it."""
        if first:
            self._waiting.appendleft(work)
        else:
            self._waiting.append(work)
