"""A guess with random weights, in milliseconds: for what does not depend on what a guess has learned."""

from dataclasses import replace
from typing import Any

import torch

from textinv.guess.guess import OWN, shape_of, write_guess
from textinv.guess.network import GuessNetwork, Shape
from textinv.models.base import BaseModel
from textinv.registry.guesses import GuessFile, GuessRecord

LOOK_WIDTH = 192
"""Of the demo base's CLIP."""


def small_shape(model: BaseModel, look_width: int = LOOK_WIDTH) -> Shape:
    """A small network for a base model."""
    return replace(shape_of(model, look_width), hidden=16, heads=2, blocks=1)


def small_guess(model: BaseModel, seed: int = 0, **fields: Any) -> GuessFile:
    """The file of such a network; `fields` replace those of its record."""
    torch.manual_seed(seed)
    network = GuessNetwork(small_shape(model))
    record = {
        "base_model": model.id,
        "base_revision": model.revision,
        "encoder": OWN,
        "shape": network.shape.to_json(),
        "kinds": ("object",),
        "concepts": 10,
        "source": "a test",
        "steps": 0,
        "sample_passes": 0,
        "made": f"2026-11-30T00:00:{seed:02d}Z",
    }
    return write_guess(network, GuessRecord(**{**record, **fields}))
