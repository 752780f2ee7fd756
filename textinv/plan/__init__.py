"""From what a person wrote to what will run: specs with every default filled in, pinned by digest."""

from textinv.plan.plan import Plan, make_plan
from textinv.plan.published import PlannedSpec
from textinv.spec import OptimizerSpec, PictureRef, StopSpec, TrainSpec

__all__ = ["OptimizerSpec", "PictureRef", "Plan", "PlannedSpec", "StopSpec", "TrainSpec", "make_plan"]
