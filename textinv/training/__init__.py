"""Learning many concepts at once in one frozen base model."""

from textinv.training.loop import train_pack
from textinv.training.pack import ConceptPack
from textinv.training.work import IN_TRAINING, Progress, Scorer, TrainedConcept, TrainingSink, Work, WorkSource

__all__ = [
    "IN_TRAINING",
    "ConceptPack",
    "Progress",
    "Scorer",
    "TrainedConcept",
    "TrainingSink",
    "Work",
    "WorkSource",
    "train_pack",
]
