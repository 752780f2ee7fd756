"""How many samples a forward should have.

Owns the measurement behind `auto`: packs with forwards of growing size are timed on the device with random latents; the
smallest one that comes near the best throughput is the knee, which as few slots as possible should fill. Memory that
runs out ends the search. Measured once per process for each base model and size. Does not know concepts.
"""

import time
from collections.abc import Sequence
from typing import Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch

from textinv.errors import OutOfMemoryError
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.models.room import Room, find_knee, is_out_of_memory
from textinv.spec import OptimizerSpec, PictureRef, StopSpec, TrainSpec
from textinv.training.memory import Capacity, spare_of
from textinv.training.pack import ConceptPack
from textinv.training.work import Work

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SAMPLES_PER_SLOT = 4
"""Of larger ones; smaller ones are a slot's."""
TIMED_STEPS = 3
WORTH_IT = 1.05
"""How much faster it has to be to compute activations again."""


def choose_capacity(model: BaseModel, num_slots: int | Literal["auto"], resolution_px: int | None = None) -> Capacity:
    """Take the number of slots as it is given, or measure how many samples fill a forward.

    Raises:
        OutOfMemoryError: not even one sample fits.
    """
    if num_slots != "auto":
        return Capacity(num_slots)
    side = resolution_px or model.native_px
    known = _KNOWN.setdefault(model, {})
    if side not in known:
        known[side] = _measured(model, side)
    return known[side]


_KNOWN: WeakKeyDictionary[BaseModel, dict[int, Capacity]] = WeakKeyDictionary()
"""What was measured, by the side in pixels."""


def _measured(model: BaseModel, resolution_px: int) -> Capacity:
    """Where memory ended the search, also with activations that are computed again, which more samples may outweigh."""
    measured = _rates(model, resolution_px)
    lacks_memory = len(measured) < len(SIZES) and not past_knee(measured)
    if lacks_memory and model.checkpoint_gradients():
        again = _rates(model, resolution_px)
        if _best(again) > WORTH_IT * _best(measured):
            measured = again
        else:
            model.checkpoint_gradients(False)
    if not measured:
        raise OutOfMemoryError(
            f"not even one sample at {resolution_px} px fits into memory; use a smaller resolution_px, or a device "
            "with more memory"
        )
    knee = find_knee({size: size / rate for size, rate in measured})
    return Capacity(knee=knee, most=measured[-1][0], samples_per_s=tuple(measured))


def _best(measured: Sequence[tuple[int, float]]) -> float:
    return max((rate for _, rate in measured), default=0.0)


def _rates(model: BaseModel, resolution_px: int) -> list[tuple[int, float]]:
    """Samples per second by the samples of a forward, as long as more of them pay off and fit."""
    measured: list[tuple[int, float]] = []
    for size in SIZES:
        try:
            measured.append((size, samples_per_second(model, size, resolution_px)))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            break
        if past_knee(measured):
            break
    return measured


def past_knee(measured: list[tuple[int, float]]) -> bool:
    """Whether the last doubling brought less than a twentieth."""
    return len(measured) >= 2 and measured[-1][1] < 1.05 * measured[-2][1]


def samples_per_second(model: BaseModel, num_samples: int, resolution_px: int) -> float:
    """Sample passes per second with forwards of `num_samples`, by the fastest of a few steps after the first."""
    of_each = min(num_samples, SAMPLES_PER_SLOT)
    spare = spare_of(model) if num_samples == 1 else None  # for one sample there is no other way
    pack = ConceptPack(model, num_samples // of_each, Room(num_samples, least=num_samples, spare=spare))
    for _ in range(pack.num_slots):
        pack.add(_work(model, resolution_px, of_each))
    pack.step()
    return num_samples / min(_seconds_of_step(pack, model.device) for _ in range(TIMED_STEPS))


def _seconds_of_step(pack: ConceptPack, device: torch.device) -> float:
    _wait_for(device)
    begun = time.perf_counter()
    pack.step()
    _wait_for(device)
    return time.perf_counter() - begun


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _work(model: BaseModel, resolution_px: int, samples_per_step: int) -> Work:
    """A concept to measure with: one gray picture, one caption."""
    gray = np.full((resolution_px, resolution_px, 3), 128, np.uint8)
    spec = TrainSpec(
        name="probe",
        kind="object",
        pictures=(PictureRef(digest="0" * 64, name="gray"),),
        base_model=model.id,
        base_revision=model.revision,
        init="a",
        num_vectors=1,
        resolution_px=resolution_px,
        crop="center",
        flip=False,
        templates=("a {}",),
        samples_per_step=samples_per_step,
        max_steps=2,
        min_steps=2,
        optimizer=OptimizerSpec(kind="sphere", learning_rate=0.01, schedule="constant"),
        timesteps=(0, 1000),
        stop=StopSpec(rule="fixed", every_steps=2, window=2, threshold=0.1, num_samples=8),
        seed=0,
        recipe="probe",
    )
    return Work(spec, [Picture(gray, None, "0" * 64, "gray")])
