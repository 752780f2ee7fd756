"""How fast the engine goes: when a newcomer would be done, and how many pictures of a size pay off together.

Owns measured seconds by size and batch; a size without any goes by its area. Does not know requests.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

# Weight of the newest measurement in the running mean.
_NEWEST = 0.2
# A step that something else held up says little about the next ones: it counts as so many times the expected at most.
_MAX_SLOWER = 2.0

Size = tuple[int, int]
"""Height and width of a picture in pixels."""


class Pace:
    """Seconds per inference step, by size and number of pictures in the batch.

    First as measured beforehand (`start_from`), then running means of the steps taken (`observe`), which also correct
    what else was measured. A size of which there is neither goes by the one nearest in area, by its share of pixels.
    """

    def __init__(self, limit: Callable[[Size], int] | None = None) -> None:
        """`limit` tells the most pictures of a size in one batch (None: any number)."""
        self._limit = limit
        self._measured: dict[Size, dict[int, float]] = {}
        self._observed: dict[Size, dict[int, float]] = {}
        self._slowdown = 1.0  # of real steps, with all that the machine does beside, against those measured

    def start_from(self, size: Size, step_s: Mapping[int, float]) -> None:
        """Take the measured seconds of an inference step, by number of pictures of a size."""
        if step_s:
            self._measured[size] = dict(step_s)

    def observe(self, sizes: Sequence[Size], step_s: float) -> None:
        """Learn from one inference step over pictures of these sizes; mixed ones count by their share of the pixels."""
        total_px = sum(map(_area, sizes))
        measured_s = _by_area(self._measured, sizes)
        expected_s = step_s if measured_s is None else measured_s * self._slowdown
        for size in set(sizes):
            together = max(round(total_px / _area(size)), 1)
            known = self._observed.get(size, {})
            mean_s = known.get(together, expected_s) * (1 - _NEWEST) + step_s * _NEWEST
            self._observed[size] = {**known, together: mean_s}  # a new one: other threads may be reading the old one
        if expected_s > 0:
            self._slowdown *= 1 - _NEWEST + _NEWEST * min(step_s / expected_s, _MAX_SLOWER)

    def wait_s(self, work: Mapping[Size, int]) -> float:
        """Estimate how long so many picture-steps per size take in good batches; 0 while nothing is known."""
        return sum(steps * self._image_step_s(size) for size, steps in work.items())

    def own_s(self, size: Size, num_steps: int, together: int) -> float:
        """Estimate how long a picture takes in a batch of so many; 0 while nothing is known."""
        seen = self._observed.get(size, {})
        if together in seen:
            return num_steps * seen[together]
        measured_s = _by_area(self._measured, [size] * together)
        if measured_s is not None:
            return num_steps * measured_s * self._slowdown
        if seen:
            number = _nearest_number(seen, together)
            return num_steps * seen[number] * min(together / number, 1.0)
        return num_steps * (_by_area(self._observed, [size] * together) or 0.0)

    def _image_step_s(self, size: Size) -> float:
        """Seconds of a step per picture, in the best batch."""
        near = _nearest([*self._observed, *self._measured], _area(size))
        if near is None:
            return 0.0
        most = None if self._limit is None else self._limit(near)
        measured = self._measured.get(near, {})
        known = {number: s * self._slowdown for number, s in measured.items() if most is None or number <= most}
        known |= self._observed.get(near, {})
        return min((s / number for number, s in known.items()), default=0.0) * _area(size) / _area(near)


def _by_area(table: Mapping[Size, Mapping[int, float]], sizes: Sequence[Size]) -> float | None:
    """Seconds of a step over pictures of these sizes, by the size in a table that is nearest to their mean."""
    total_px = sum(map(_area, sizes))
    near = _nearest([*table], total_px / max(len(sizes), 1))
    if near is None:
        return None
    known, pictures = table[near], total_px / _area(near)
    number = _nearest_number(known, pictures)
    return known[number] * pictures / number


def _nearest(sizes: Sequence[Size], area: float) -> Size | None:
    return min(sizes, key=lambda size: abs(_area(size) - area), default=None)


def _nearest_number(numbers: Iterable[int], pictures: float) -> int:
    return min(numbers, key=lambda number: abs(number - pictures))


def _area(size: Size) -> int:
    return size[0] * size[1]
