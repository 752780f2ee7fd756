"""Pinned pictures: a few prompts with a fixed seed, by which people compare versions of a concept.

Owns which prompts these are, and the sheet on which their pictures lie in a row. They are among the pictures that
scores are taken with, so a version that is scored has them for nothing. Does not know where sheets are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from textinv.embedding import Embedding
from textinv.evaluation.prompts import Kind, prompts_of
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.images.strip import make_strip
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.estimate import EVALUATION_INFERENCE_STEPS
from textinv.spec import TrainSpec

NUM_EDITS = 3
"""Prompts beside the plain one: the first of those that scores are taken with."""
SEED = 0
_CONCEPT = ConceptRef("concept")


@dataclass(frozen=True)
class Sheet:
    """Pictures of a concept in a row, as a JPEG, and how they were drawn."""

    prompts: tuple[str, ...]
    """With {} where the concept goes; from left to right."""
    seed: int
    num_inference_steps: int | None
    picture: bytes

    def facts(self) -> dict[str, Any]:
        """What a record says of it; sheets with the same facts can be compared."""
        return {"prompts": list(self.prompts), "seed": self.seed, "num_inference_steps": self.num_inference_steps}


def pinned_prompts(model: BaseModel, kind: Kind) -> tuple[str, ...]:
    """The prompts that a base model's concepts are compared by."""
    of_base = prompts_of(model.folder)
    return (of_base.fidelity[kind], *of_base.editability[kind][:NUM_EDITS])


def make_sheet(
    prompts: Sequence[str], pixels: Sequence[NDArray[np.uint8]], num_inference_steps: int | None, seed: int = SEED
) -> Sheet:
    """Lay the pictures of prompts beside each other."""
    return Sheet(tuple(prompts), seed, num_inference_steps, make_strip(pixels))


def draw_sheet(model: BaseModel, spec: TrainSpec, embedding: Embedding) -> Sheet:
    """Draw a concept's sheet, all pictures in one batch; for what was learned without scores.

    Raises:
        TextinvError: as `Engine.submit` and `Ticket.result`.
    """
    prompts = pinned_prompts(model, spec.kind)
    requests = [
        GenerateRequest(
            prompt.replace("{}", _CONCEPT.placeholder), num_inference_steps=EVALUATION_INFERENCE_STEPS, seed=SEED
        )
        for prompt in prompts
    ]
    drawn = generate_all(model, [(request, {_CONCEPT: embedding}) for request in requests])
    return make_sheet(prompts, [images[0].pixels for images in drawn], EVALUATION_INFERENCE_STEPS)
