"""The evaluation that goes into a training record.

Owns what a spec says about judging: its kind, its class word, where it started. Does not know packs.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import TextinvError
from textinv.evaluation.evaluate import Drawing, Judged, evaluate
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.plan.spec import TrainSpec

Judge = Callable[[TrainSpec, Sequence[Picture], Embedding], dict[str, Any]]
"""Scores a learned concept against its training pictures, as plain JSON."""


def own_judge(model: BaseModel, drawing: Drawing | None = None) -> Judge:
    """A judge with the base model's own CLIP. What it cannot judge becomes an entry `error`, never an exception."""

    def judge(spec: TrainSpec, pictures: Sequence[Picture], embedding: Embedding) -> dict[str, Any]:
        try:
            judged = Judged(embedding, spec.kind, word_of(spec), _started_from(model, spec))
            return evaluate(model, judged, pictures, drawing=drawing)
        except TextinvError as error:
            return {"error": {"code": error.code, "message": error.message}}

    return judge


def word_of(spec: TrainSpec) -> str | None:
    """What kind of thing a concept is, as far as its spec says."""
    if spec.class_word:
        return spec.class_word
    return None if spec.init == "auto" or spec.init_embedding else spec.init


def _started_from(model: BaseModel, spec: TrainSpec) -> dict[str, Tensor] | None:
    """Mean row (1, D) per text encoder of the initializer's text, where there is one."""
    if spec.init == "auto" or spec.init_embedding:
        return None
    return {name: model.token_rows(name, spec.init).float().mean(0, keepdim=True).cpu() for name in model.encoder_names}
