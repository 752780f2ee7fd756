"""How fast the engine goes: when a newcomer would be done, and how many pictures of a size pay off together.

Owns measured seconds by size and batch. Does not know requests.
"""

from collections.abc import Mapping, Sequence

# The knee is the smallest batch that reaches this share of the best throughput measured.
KNEE_SHARE = 0.9
# Weight of the newest measurement in the running mean.
_NEWEST = 0.2

Size = tuple[int, int]
"""Height and width of a picture in pixels."""


class Pace:
    """Running means of seconds per inference step, by size and number of pictures in the batch."""

    def __init__(self) -> None:
        self._step_s: dict[Size, dict[int, float]] = {}

    def observe(self, sizes: Sequence[Size], step_s: float) -> None:
        """Learn from one inference step over pictures of these sizes; mixed ones count by their share of the pixels."""
        total_px = sum(height * width for height, width in sizes)
        for size in set(sizes):
            together = max(round(total_px / (size[0] * size[1])), 1)
            known = self._step_s.setdefault(size, {})
            known[together] = known.get(together, step_s) * (1 - _NEWEST) + step_s * _NEWEST

    def wait_s(self, work: Mapping[Size, int]) -> float:
        """Estimate how long so many picture-steps per size take in good batches; sizes never drawn count as nothing."""
        return sum(steps * self._image_step_s(size) for size, steps in work.items())

    def own_s(self, size: Size, num_steps: int, together: int) -> float:
        """Estimate how long a picture takes once it has joined some others; 0 for a size never drawn."""
        known = self._step_s.get(size)
        if not known:
            return 0.0
        return num_steps * known[min(known, key=lambda number: abs(number - together))]

    def _image_step_s(self, size: Size) -> float:
        return min((step_s / together for together, step_s in self._step_s.get(size, {}).items()), default=0.0)


def find_knee(seconds_of: Mapping[int, float]) -> int:
    """Find the smallest batch that nearly reaches the best throughput, from seconds per step; 1 if unknown."""
    throughput = {size: size / seconds for size, seconds in seconds_of.items()}
    good_enough = KNEE_SHARE * max(throughput.values(), default=0.0)
    return min((size for size in throughput if throughput[size] >= good_enough), default=1)
