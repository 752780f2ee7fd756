"""What holds on any device of splits, mixed shapes and activations that are computed again; tiny base models show it.

The ordinary suite runs these on a CPU, `tests/gpu` on a GPU.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.models.kept import Held
from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import SIDE, make_transformer_base
from tests.training.conftest import make_work
from textinv.images import Picture
from textinv.models import BaseModel, load_base_model
from textinv.models.room import Room
from textinv.training import ConceptPack, Work

STEPS = 2
Rows = Mapping[str, Mapping[str, Tensor]]
"""By concept and text encoder."""


def base_on(device: str, family: str, folder: Path, **options: str) -> BaseModel:
    """A tiny base model; its folder is made once."""
    if not folder.exists():
        (make_transformer_base if family in SIDE else make_base)(family, folder)
    said = "&".join(f"{key}={value}" for key, value in options.items())
    return load_base_model(f"{folder}?{said}" if said else str(folder), device=device, dtype="float32")


def mixed_works(family: str) -> list[Work]:
    """A concept of three portraits and two landscapes, and one of squares with another number of vectors."""
    side = SIDE.get(family, 32)
    fields = {"resolution_px": side, "max_steps": STEPS, "min_steps": STEPS, "init": "apple", "class_word": "apple"}
    pictures = three_portraits_and_two_landscapes()
    return [
        make_work("mixed", picture_list=pictures, crop="fit", flip=True, samples_per_step=5, **fields),
        make_work("square", "teal", num_vectors=2, samples_per_step=3, seed=5, **fields),
    ]


def three_portraits_and_two_landscapes() -> list[Picture]:
    """A red disk on gray, upright and lying."""
    pictures = []
    for index, (width, height) in enumerate([(48, 80)] * 3 + [(80, 48)] * 2):
        pixels = np.full((height, width, 3), 200 - 20 * index, np.uint8)
        y, x = np.mgrid[:height, :width]
        pixels[(x - width / 2) ** 2 + (y - height / 2) ** 2 < 300] = (220, 40, 40)
        pictures.append(Picture(pixels, None, f"disk-{index}", f"disk-{index}.png"))
    return pictures


def rows_after(model: BaseModel, works: Sequence[Work], most: int) -> tuple[Rows, int]:
    """Rows of all concepts after their steps in forwards of at most so many samples, and what the last step held at
    most, in bytes."""
    pack = ConceptPack(model, len(works), Room(most))
    slots = [pack.add(work) for work in works]
    for _ in range(STEPS - 1):
        pack.step()
    with Held() as held:
        pack.step()
    pack.look()
    return {slot.spec.name: slot.latest_rows for slot in slots}, held.most


def check_memory_changes_no_rows(model: BaseModel, works: Sequence[Work], min_cosine: float) -> None:
    """Rows are the same in steps that are split to single samples, and in those whose activations are computed again;
    each takes less memory."""
    whole, held = rows_after(model, works, 16)
    split, held_split = rows_after(model, works, 1)
    check_alike(split, whole, min_cosine)
    assert held_split < held
    assert model.checkpoint_gradients()
    again, held_again = rows_after(model, works, 16)
    check_alike(again, whole, min_cosine)
    assert held_again < held, f"{held_again} bytes where {held} were held before"


def check_alike(found: Rows, wanted: Rows, min_cosine: float) -> None:
    """The least cosine of any row to what it should be."""
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        for encoder, rows_ND in rows.items():
            cosine_N = torch.cosine_similarity(found[name][encoder], rows_ND)
            assert cosine_N.min() > min_cosine, (name, encoder, cosine_N)
