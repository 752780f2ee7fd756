"""How many slots there is memory for, and what running out of it looks like.

Owns that slots which memory took away at a picture size stay away when that size comes back. Does not know how slots
are measured (`capacity`), nor what becomes of concepts that lose theirs (`pack`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from textinv.errors import OutOfMemoryError
from textinv.training.work import Work


@dataclass(frozen=True)
class Capacity:
    """The number of slots, and the samples per second that were measured for each size tried (empty: it was given)."""

    num_slots: int
    samples_per_s: tuple[tuple[int, float], ...] = ()


class Memory:
    """The slots of a worker's packs, by the side of their pictures in pixels."""

    def __init__(self, capacity_at: Callable[[int], Capacity]) -> None:
        """`capacity_at` says how many slots a pack has whose pictures are so many pixels wide."""
        self._capacity_at = capacity_at
        self._capacity = Capacity(1)
        self._resolution_px: int | None = None
        self._lowered: dict[int | None, int] = {}

    @property
    def samples_per_s(self) -> dict[str, float]:
        """What was measured for the pack as it is: throughput by the number of slots, as plain JSON."""
        return {str(size): rate for size, rate in self._capacity.samples_per_s}

    def is_other_size(self, work: Work) -> bool:
        """Whether a concept's pictures have another size than those that the pack was made for."""
        return work.spec.resolution_px != self._resolution_px

    def num_slots_for(self, work: Work) -> int:
        """How many slots a pack has that is made for a concept's size.

        Raises:
            OutOfMemoryError: not even one fits.
        """
        resolution_px = work.spec.resolution_px
        self._capacity, self._resolution_px = self._capacity_at(resolution_px), resolution_px
        return self._lowered.get(resolution_px, self._capacity.num_slots)

    def lowered(self, num_slots: int) -> int:
        """The same number, remembering that no more fit at the pack's size."""
        self._lowered[self._resolution_px] = num_slots
        return num_slots


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU or the CPU has no memory for what was asked of it."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def no_memory_for(work: Work, error: RuntimeError) -> OutOfMemoryError:
    """What a concept fails with that does not fit even alone."""
    return OutOfMemoryError(
        f"{work.spec.name}: a single slot does not fit into memory ({error}); use a smaller resolution or fewer "
        f"samples per step (now {work.spec.samples_per_step})"
    )
