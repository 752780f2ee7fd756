"""Scores of learned concepts: fidelity, editability, rows, and the anchors that give the figures a scale."""

from textinv.evaluation.encoders import PictureEncoder, load_encoder, own_encoder
from textinv.evaluation.evaluate import Drawing, Learned, evaluate
from textinv.evaluation.report import own_scorer

__all__ = ["Drawing", "Learned", "PictureEncoder", "evaluate", "load_encoder", "own_encoder", "own_scorer"]
