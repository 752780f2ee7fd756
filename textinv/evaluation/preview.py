"""A small picture of a concept while it learns, for whoever watches.

Owns what is drawn and how large it is. Always the same prompt and noise for a concept, so that pictures of later steps
can be compared with earlier ones. Draws with the model that trains and changes nothing of it. Does not know where
pictures go.
"""

import io

from PIL import Image

from textinv.embedding import Embedding
from textinv.evaluation.prompts import prompts_of
from textinv.generation.draw import generate
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.estimate import PREVIEW_INFERENCE_STEPS
from textinv.spec import TrainSpec

MAX_SIDE_PX = 256
QUALITY = 90
_CONCEPT = ConceptRef("concept")
_SEEDS = 2**32


def draw_preview(model: BaseModel, spec: TrainSpec, embedding: Embedding) -> bytes:
    """Draw a concept with these rows, as a JPEG.

    Raises:
        TextinvError: as `Engine.submit` and `Ticket.result`.
    """
    request = GenerateRequest(
        prompt=prompts_of(model.folder).fidelity[spec.kind].replace("{}", _CONCEPT.placeholder),
        num_inference_steps=PREVIEW_INFERENCE_STEPS,
        seed=spec.seed % _SEEDS,
    )
    (drawn,) = generate(model, request, {_CONCEPT: embedding}, max_batch=1)
    image = Image.fromarray(drawn.pixels)
    image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
