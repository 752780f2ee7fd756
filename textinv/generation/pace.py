"""How fast the engine goes: how many pictures of a size pay off together, and when a newcomer would be done.

Owns measured seconds and batch limits per size. Does not know requests.
"""

import itertools
from dataclasses import dataclass

# A doubling of the batch must bring at least this factor of throughput, or the knee is reached.
KNEE_GAIN = 1.1
# Weight of the newest measurement in the running mean.
_NEWEST = 0.2

Size = tuple[int, int]


@dataclass
class SizePace:
    """Running means of one size: seconds of an inference step, and seconds that each picture adds to it."""

    step_s: float
    image_step_s: float


class Pace:
    """Seconds per inference step of each size, learned while running."""

    def __init__(self) -> None:
        self._by_size: dict[Size, SizePace] = {}

    def observe(self, sizes: list[Size], step_s: float) -> None:
        """Learn from one inference step that took `step_s` over pictures of these sizes, shared out by pixels."""
        total_px = sum(height * width for height, width in sizes)
        for size in set(sizes):
            image_step_s = step_s * size[0] * size[1] / total_px
            known = self._by_size.setdefault(size, SizePace(step_s, image_step_s))
            known.step_s += _NEWEST * (step_s - known.step_s)
            known.image_step_s += _NEWEST * (image_step_s - known.image_step_s)

    def wait_s(self, work: dict[Size, int]) -> float:
        """Estimate how long so many picture-steps per size take; sizes never drawn count as nothing."""
        return sum(self._by_size[size].image_step_s * steps for size, steps in work.items() if size in self._by_size)

    def own_s(self, size: Size, num_steps: int) -> float:
        """Estimate how long a picture takes once it has joined; 0 for a size never drawn."""
        known = self._by_size.get(size)
        return 0.0 if known is None else known.step_s * num_steps


def find_knee(seconds_of: dict[int, float]) -> int:
    """Find the batch size from which a doubling brings less than `KNEE_GAIN`, from seconds per step; 1 if unknown."""
    sizes = sorted(seconds_of)
    knee = 1
    for smaller, larger in itertools.pairwise(sizes):
        if (larger / seconds_of[larger]) < KNEE_GAIN * (smaller / seconds_of[smaller]):
            break
        knee = larger
    return knee
