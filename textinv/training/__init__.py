"""Learning many concepts at once in one frozen base model.

Owns what becomes of a `TrainSpec` and its pictures until there are learned rows and their record. Does not know where
work comes from, where results go, how they are scored or drawn. Open `pack.py` first: the step and the loop.
"""

from textinv.training.pack import ConceptPack
from textinv.training.train import train_pack
from textinv.training.work import IN_TRAINING, Progress, Scorer, Start, TrainedConcept, TrainingSink, Work, WorkSource

__all__ = [
    "IN_TRAINING",
    "ConceptPack",
    "Progress",
    "Scorer",
    "Start",
    "TrainedConcept",
    "TrainingSink",
    "Work",
    "WorkSource",
    "train_pack",
]
