"""Scores of learned concepts: fidelity, editability, rows, and the anchors that give the figures a scale.

Owns what is drawn for them, the encoders and the judge that look at it, and the prompts, where a base model's folder
may bring its own (`judge/`, `evaluation.json`). Does not know packs, registries or any base model. Open `evaluate`
first.
"""

from textinv.evaluation.evaluate import Drawing, Learned, evaluate
from textinv.evaluation.scorer import own_scorer
from textinv.models.picture_encoder import PictureEncoder, load_encoder, own_encoder

__all__ = ["Drawing", "Learned", "PictureEncoder", "evaluate", "load_encoder", "own_encoder", "own_scorer"]
