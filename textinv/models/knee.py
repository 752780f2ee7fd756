"""The knee: the smallest batch that nearly reaches the best throughput that was measured.

Owns the rule by which batches of drawing and packs of training are chosen. Does not know what is measured, nor how.
"""

from collections.abc import Mapping

NEAR_BEST = 0.9
"""A smaller batch is preferred as long as it reaches this share of the best throughput."""


def find_knee(seconds_of: Mapping[int, float]) -> int:
    """Find the knee from the seconds that each size takes; 1 while nothing is known."""
    throughput = {size: size / seconds for size, seconds in seconds_of.items()}
    good_enough = NEAR_BEST * max(throughput.values(), default=0.0)
    return min((size for size in throughput if throughput[size] >= good_enough), default=1)
