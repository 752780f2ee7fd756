"""Small concepts for the demo base, and the base itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.images import Picture
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.spec import OptimizerSpec, PictureRef, StopSpec, TrainSpec
from textinv.training import Work

torch.set_num_threads(1)  # test runs share their machine

SPHERE = OptimizerSpec(kind="sphere", learning_rate=0.08, schedule="linear", kappa=1e-4)
ADAMW = OptimizerSpec(kind="adamw", learning_rate=2e-3, schedule="constant")
FIXED = StopSpec(rule="fixed", every_steps=10, window=5, threshold=0.15, num_samples=8)
COLOURS = {"red": (220, 40, 40), "teal": (30, 160, 160), "yellow": (250, 220, 60), "purple": (140, 60, 180)}


def pictures_of(colour: str, count: int = 3) -> list[Picture]:
    """Disks of one colour on different backgrounds."""
    y, x = np.mgrid[:64, :64]
    pictures = []
    for index in range(count):
        pixels = np.full((64, 64, 3), (255, 200 - 60 * index, 255 - 40 * index), np.uint8)
        pixels[(x - 30 - index) ** 2 + (y - 32) ** 2 < (16 + 2 * index) ** 2] = COLOURS[colour]
        pictures.append(Picture(pixels, None, f"{colour}-{index}", f"{colour}-{index}.png"))
    return pictures


def make_work(name: str, colour: str = "red", checkpoint: bytes | None = None, **changes: Any) -> Work:
    """A concept with fast settings; `changes` replace fields of its spec."""
    pictures = changes.pop("picture_list", None) or pictures_of(colour)
    fields: dict[str, Any] = {
        "name": name,
        "kind": "object",
        "pictures": tuple(PictureRef(digest=picture.digest, name=picture.name) for picture in pictures),
        "base_model": "emoji",
        "base_revision": "test",
        "class_word": "ball",
        "init": "ball",
        "num_vectors": 1,
        "resolution_px": 32,
        "crop": "center",
        "flip": False,
        "templates": ("a {}", "a photo of a {}", "an emoji of a {}"),
        "samples_per_step": 4,
        "max_steps": 20,
        "min_steps": 10,
        "optimizer": SPHERE,
        "timesteps": (300, 1000),
        "stop": FIXED,
        "seed": 1,
        "recipe": "test",
    }
    return Work(TrainSpec(**{**fields, **changes}), pictures, checkpoint, work_id=f"work-{name}")


@pytest.fixture(scope="session")
def model(small: BaseModel) -> BaseModel:
    """Of the demo base's words, sizes and CLIP: what it draws does not matter to these tests."""
    return small


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A small SD1 with random weights, for what does not depend on what a base model has learned: a fraction of the
    demo base's time."""
    return load_base_model(str(make_base("sd1", tmp_path_factory.mktemp("tiny"))), device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def works() -> Callable[..., Work]:
    """Makes work: a name, a colour, a checkpoint, and fields of the spec to change."""
    return make_work


@pytest.fixture(scope="session")
def adamw() -> OptimizerSpec:
    """AdamW at a rate that suits the demo base."""
    return ADAMW
