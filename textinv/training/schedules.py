"""Learning-rate schedules: how large a step is at a given step number.

Pure functions. The rate is the most radians per step for the sphere method and a plain learning rate for AdamW.
"""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]

FLOOR = 0.05
"""Decaying schedules end at this share of the peak, so that the last steps still move."""


def rate_at(step: int, *, peak: float, schedule: Schedule, max_steps: int) -> float:
    """The rate of the step from `step` to `step + 1`: from the peak down to the schedule's floor."""
    return peak * _share(schedule, min(1.0, step / max_steps))


def _share(schedule: Schedule, done: float) -> float:
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return max(FLOOR, 1 - done)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done))
