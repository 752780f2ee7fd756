"""The evaluation that goes into a training record.

Owns what a spec says about scoring: its kind, its class word, the words it started from. Does not know packs.
"""

import logging
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from textinv.embedding import Embedding
from textinv.errors import TextinvError, TrainingError
from textinv.evaluation.evaluate import Drawing, Learned, evaluate, facts_of
from textinv.evaluation.pinned import Sheet
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder, load_encoder
from textinv.plan.estimate import EVALUATION_INFERENCE_STEPS
from textinv.spec import TrainSpec
from textinv.training.work import Scorer

_LOG = logging.getLogger("textinv.worker")

DRAWING = Drawing(num_inference_steps=EVALUATION_INFERENCE_STEPS)
"""At the end of training; `textinv evaluate` draws with more steps."""


def own_scorer(
    model: BaseModel,
    drawing: Drawing = DRAWING,
    folders: Sequence[Path] = (),
    keep: Callable[[TrainSpec, Sheet], None] | None = None,
) -> Scorer:
    """A scorer with the encoders in `folders`, else with the base model's own CLIP.

    The encoders are loaded once, onto the model's device, when the first concept comes. The base model's judge is
    asked, too, where it has one. What stands in the way of scores becomes an entry `error` beside what can
    be said without them, never an exception: nothing that was learned is lost for it. Without a usable encoder nothing
    is drawn. `keep` is given the pinned pictures of each concept that is drawn.
    """

    @cache
    def encoders() -> Sequence[PictureEncoder]:
        return [load_encoder(folder, model.device) for folder in folders]

    def score(spec: TrainSpec, pictures: Sequence[Picture], embedding: Embedding, started_from: str) -> dict[str, Any]:
        begun = time.monotonic()
        learned = learned_of(spec, embedding, started_from)
        try:
            kept = partial(keep, spec) if keep else None
            found = evaluate(model, learned, pictures, encoders=encoders(), drawing=drawing, keep=kept)
        except TextinvError as error:
            found = facts_of(model, learned) | {"error": {"code": error.code, "message": error.message}}
        except Exception as error:  # drawing runs foreign code, and memory may be short
            _LOG.warning("%s is learned, but cannot be evaluated", spec.name, exc_info=True)
            problem = {"code": TrainingError.code, "message": f"{type(error).__name__}: {error}"}
            found = facts_of(model, learned) | {"error": problem}
        return found | {"seconds": round(time.monotonic() - begun, 3)}

    return score


def learned_of(
    spec: TrainSpec, embedding: Embedding, started_from: str | None = None, word: str | None = None
) -> Learned:
    """A concept as its spec describes it; `word` takes the place of the spec's class word."""
    words = started_from if spec.init_embedding is None else None
    return Learned(embedding, spec.kind, word or word_of(spec), words or None)


def word_of(spec: TrainSpec) -> str | None:
    """What kind of thing a concept is, as far as its spec says."""
    if spec.class_word:
        return spec.class_word
    return None if spec.init == "auto" or spec.init_embedding or spec.start_digest else spec.init
