"""How many slots a pack has, and how many samples its forwards begin with.

Owns what is known of the worker's device at each picture size. Does not know how that is measured (`capacity`), nor how
forwards are cut (`batch`); what they learn of the device while they run is in the `Room` that all packs share.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from textinv.errors import OutOfMemoryError
from textinv.models.base import BaseModel
from textinv.models.room import Room
from textinv.training.work import Work

UNMEASURED_FIRST, UNMEASURED_CEILING = 16, 64
"""Samples of a forward of which nothing was measured, at first and at most. On a CPU, where running out of memory is
seldom an error that can be caught, it stays at the first."""


def unmeasured_room(model: BaseModel) -> Room:
    """Where nothing was measured."""
    ceiling = UNMEASURED_CEILING if model.device.type == "cuda" else UNMEASURED_FIRST
    return Room(UNMEASURED_FIRST, ceiling, spare=spare_of(model))


def spare_of(model: BaseModel) -> Callable[[], bool]:
    """What makes forwards with a gradient take less memory, once; of others there is nothing to spare."""
    return lambda: torch.is_grad_enabled() and model.checkpoint_gradients()


@dataclass(frozen=True)
class Capacity:
    """How many slots are asked for, or what was measured of forwards with a gradient."""

    num_slots: int | None = None
    knee: int = 1
    """The fewest samples of a forward with which the device is nearly as fast as with any number."""
    most: int | None = None
    """The most that were tried and fitted. None: nothing was measured."""
    samples_per_s: tuple[tuple[int, float], ...] = ()
    """By samples of a forward."""

    def slots_of(self, samples_per_step: int) -> int:
        """The slots that were asked for, else the fewest that fill a forward at the knee."""
        return self.num_slots or math.ceil(self.knee / samples_per_step)


class Memory:
    """The slots of a worker's packs, by the side of their pictures in pixels, and the room of their forwards."""

    def __init__(self, capacity_at: Callable[[int], Capacity], room: Room) -> None:
        """`capacity_at` says how much a pack has whose pictures are so many pixels wide."""
        self.room = room
        self._capacity_at = capacity_at
        self._capacity = Capacity(1)
        self._resolution_px: int | None = None

    @property
    def samples_per_s(self) -> dict[str, float]:
        """What was measured for the pack as it is: throughput by the samples of a forward, as plain JSON."""
        return {str(size): rate for size, rate in self._capacity.samples_per_s}

    def is_other_size(self, work: Work) -> bool:
        """Whether a concept's pictures have another size than those that the pack was made for."""
        return work.spec.resolution_px != self._resolution_px

    def num_slots_for(self, work: Work) -> int:
        """How many slots a pack has that is made for a concept's size and samples.

        Raises:
            OutOfMemoryError: not even one sample fits.
        """
        resolution_px = work.spec.resolution_px
        self._capacity, self._resolution_px = self._capacity_at(resolution_px), resolution_px
        if self._capacity.most is not None:
            self.room.begin_at(self._capacity.most)
        return self._capacity.slots_of(work.spec.samples_per_step)


def no_memory_for(work: Work, error: RuntimeError) -> OutOfMemoryError:
    """What a concept fails with of which one sample does not fit."""
    return OutOfMemoryError(
        f"{work.spec.name}: not even one sample at {work.spec.resolution_px} px fits into memory ({error}); use a "
        "smaller resolution_px, or a device with more memory"
    )
