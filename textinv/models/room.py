"""How many samples go through a network at once: how many pay off, and how many there is memory for.

Owns the knee, by which batches of drawing and forwards of training are chosen, what running out of memory looks like,
and `Room`, which learns from it. Does not know what is measured or run.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Mapping

import torch

log = logging.getLogger(__name__)

NEAR_BEST = 0.9
"""A smaller batch is preferred as long as it reaches this share of the best throughput."""
RETRY_AFTER = 500
"""Forwards as large as fitted after which twice as many samples are tried again: whoever took the memory may have left,
and a refusal costs less than one forward of so many."""
_LACKS_MEMORY = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""What errors say that have no type of their own: of the CPU's allocator, and of libraries that allocate themselves."""


def find_knee(seconds_of: Mapping[int, float]) -> int:
    """Find the knee from the seconds that each size takes; 1 while nothing is known."""
    throughput = {size: size / seconds for size, seconds in seconds_of.items()}
    good_enough = NEAR_BEST * max(throughput.values(), default=0.0)
    return min((size for size in throughput if throughput[size] >= good_enough), default=1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a GPU or the CPU has no memory for what was asked of it."""
    return isinstance(error, torch.OutOfMemoryError) or any(said in str(error) for said in _LACKS_MEMORY)


def is_of_the_device(error: BaseException) -> bool:
    """Whether a GPU has failed, with which nothing works any more in this process."""
    return isinstance(error, getattr(torch, "AcceleratorError", ())) or "CUDA error" in str(error)


class Room:
    """The most samples of one forward, by the kind of forward (its size): halved where memory runs out, doubled up to a
    ceiling as long as that fits, and tried again long after it did not."""

    def __init__(
        self, first: int, ceiling: int | None = None, *, least: int = 1, spare: Callable[[], bool] | None = None
    ) -> None:
        """`first` is where every kind begins, `ceiling` what none goes beyond; fewer than `least` are not tried.

        `spare` is called where `least` do not fit: forwards take less memory from then on, if it says so.
        """
        self.found: dict[Hashable, int] = {}
        """How many samples a forward of a kind may have; of one that is not here, `first`."""
        self._least, self._spare = least, spare
        self._refused: dict[Hashable, int] = {}
        """So many did not fit."""
        self._num_full: Counter[Hashable] = Counter()
        """Forwards of as many samples as may be, since the last refusal."""
        self.begin_at(first, ceiling)

    def begin_at(self, first: int, ceiling: int | None = None) -> None:
        """Where kinds begin of which nothing is known yet, and what none goes beyond from now on."""
        self.first, self._ceiling = first, max(first, ceiling or first)

    def lacked(self, kind: Hashable, num_samples: int) -> bool:
        """So many did not fit; whether another try is worth it: of half as many, which is the most from now on, or of
        as few as may be where forwards have come to take less memory."""
        self._refused[kind], self._num_full[kind] = num_samples, 0
        said = {"no_memory_for": num_samples, "of": str(kind)}
        if num_samples <= self._least:
            if self._spare is None or not self._spare():
                return False
            self._refused.clear()  # whatever did not fit may do so now
            log.warning("%s", json.dumps({**said, "from_now_on": "activations are computed again"}))
        else:
            self.found[kind] = max(self._least, num_samples // 2)
            log.warning("%s", json.dumps({**said, "from_now_on": self.found[kind]}))
        torch.cuda.empty_cache()  # nothing without a GPU
        return True

    def was_full(self, kind: Hashable) -> None:
        """As many as may be fitted. Of a forward of fewer there is nothing to learn."""
        most = self.found.get(kind, self.first)
        more = min(2 * most, self._ceiling)
        self._num_full[kind] += 1
        is_refused = more >= self._refused.get(kind, more + 1) and self._num_full[kind] < RETRY_AFTER
        if more > most and not is_refused:
            self.found[kind], self._num_full[kind] = more, 0
