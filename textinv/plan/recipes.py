"""Recipes: named sets of the values that decide how a concept is learned.

Owns the numbers and where they come from. Does not know manifests: `textinv.plan.resolve` lays what a person wrote over
a recipe. Those here are *measured here*, on the demo base; those of other families are *published*, and stand in the
family's file. `make bench-train` measures them, and variants of them. What decided (four to eight concepts, one seed,
the demo base): likeness and editability both grow up to four vectors and fall again at eight; the context term trades a
little likeness for more editability; AdamW, whose rows grow to four times the length of a word's, reached more likeness
where the sphere reached little, less of the rest, and lost editability: it is for the last likeness of a particular
thing, `faithful`. Of `balanced`, on 25 concepts of all tiers: 200 steps at least, against 100, are more like in every
tier (most for objects and styles that the base has never seen: the judge's mean is seven and three times as high),
samples doubled at 100 steps a little less so, and a rate that has fallen to nothing by then is no better. Rules that
stop each concept sooner or later than that were tried on 27, from 80 steps on: DVAR with lower thresholds, and stopping
when the second half of the training brought less than a tenth of the gain. Neither reached more than as many steps for
all do, and on 36 concepts, at 80 to 400 steps, the latter lost 0.02 to 0.08 of the judge's mean in each tier: on this
base the loss on the fixed batch does not tell what another hundred steps bring. Steps went along the latest direction
alone then. Along the mean of `textinv.training.rows`, 200 steps of `balanced` reach as much: on 12 objects / 12 styles,
one seed, 16 drawings each, a loss on pictures that were not trained on of .429 / .612 (the latest direction alone: .431
/ .609), likeness .49 / .37 (.47 / .36), the judge .14 / .14 (.13 / .17). A rate that has fallen to nothing by then
(loss .430 / .616), 100 steps (.433 / .624) and, for styles, two vectors (.627) are worse. From the demo base's guess a
third of the steps (66 to 133) keeps 97 % of the likeness and of the judge's share that `balanced` reaches from ranked
words on 12 particular things with three seeds; of 12 held-out objects the judge then sees less (a mean of .11 beside
.18), and of 12 styles, too (.10, and .13 with two thirds of the steps, beside .19; one seed, not beyond chance). What a
concept is cannot be told before it is learned, so the recipes keep their steps.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from textinv.spec import Method, Schedule, StopRule

EVALUATION_SHARE = 0.2
"""Looks at the fixed batch may cost this share of the training."""
LEARNING_RATES: Mapping[Method, float] = {"sphere": 0.08, "adamw": 5e-3}
"""Where a manifest asks for another method than its recipe's and says no rate; AdamW's is of the original paper (Gal et
al. 2022, arXiv:2208.01618)."""


@dataclass(frozen=True)
class Recipe:
    """Values of all training fields that a manifest may leave out."""

    num_vectors: int
    samples_per_step: int
    max_steps: int
    min_steps: int
    optimizer: Method = "sphere"
    learning_rate: float = LEARNING_RATES["sphere"]
    schedule: Schedule = "linear"
    kappa: float = 1e-4
    context_weight: float = 0.0
    timesteps: tuple[int, int] = (300, 1000)
    stop: StopRule = "dvar"
    stop_window: int = 6
    stop_threshold: float = 0.15
    stop_samples: int = 8
    resolution_px: int | None = None
    """None: the base model's native size."""
    init: str | None = None
    """None: the class word, else `auto`."""


INSTANT = "instant"
_FAST = Recipe(num_vectors=3, samples_per_step=4, max_steps=60, min_steps=20, context_weight=0.1)
RECIPES: Mapping[str, Recipe] = {
    INSTANT: Recipe(num_vectors=4, samples_per_step=4, max_steps=0, min_steps=0, stop="fixed", init="guess"),
    "fast": _FAST,
    "balanced": replace(_FAST, num_vectors=4, max_steps=400, min_steps=200),
    "faithful": Recipe(
        num_vectors=4, samples_per_step=4, max_steps=400, min_steps=300, optimizer="adamw", learning_rate=0.01
    ),
}
DEFAULT_RECIPE = "balanced"
PUBLISHED = "published"
"""The recipe of a base model's family, stated in its file with the source: the default where there is one."""


def published_recipe(values: Mapping[str, Any]) -> Recipe:
    """What a family's file states."""
    return Recipe(**{field: value for field, value in values.items() if field != "source"})


def steps_between_looks(samples_per_step: int, stop_samples: int) -> int:
    """Steps between looks of `stop_samples` samples, so that they cost at most `EVALUATION_SHARE` of the training.

    With frozen weights a backward pass costs as much as a forward pass, so a training sample costs two of a look's.
    """
    return max(1, math.ceil(stop_samples / (2 * samples_per_step * EVALUATION_SHARE)))
