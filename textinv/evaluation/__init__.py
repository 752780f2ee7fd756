"""Judging learned concepts: fidelity, editability, rows, and the anchors that give the figures a scale."""

from textinv.evaluation.encoders import PictureEncoder, load_encoder, own_encoder
from textinv.evaluation.evaluate import Drawing, Judged, evaluate
from textinv.evaluation.report import Judge, own_judge

__all__ = ["Drawing", "Judge", "Judged", "PictureEncoder", "evaluate", "load_encoder", "own_encoder", "own_judge"]
