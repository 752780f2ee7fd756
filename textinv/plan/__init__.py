"""From what a person wrote to what will run: specs with every default filled in, pinned by digest.

Owns finding and looking at pictures, recipes, what is done already and what the rest will cost. Uploads nothing, trains
nothing, and loads no base model. Open `plan.py` first: `make_plan` names the others in the order in which they happen.
"""

from textinv.plan.plan import Plan, make_plan
from textinv.plan.published import PlannedSpec
from textinv.spec import OptimizerSpec, PictureRef, StopSpec, TrainSpec

__all__ = ["OptimizerSpec", "PictureRef", "Plan", "PlannedSpec", "StopSpec", "TrainSpec", "make_plan"]
