"""Judging learned concepts: fidelity, editability, rows, and the anchors that give the figures a scale."""

from textinv.evaluation.encoders import PictureEncoder, load_encoder, own_encoder
from textinv.evaluation.evaluate import Drawing, Judged, evaluate

__all__ = ["Drawing", "Judged", "PictureEncoder", "evaluate", "load_encoder", "own_encoder"]
