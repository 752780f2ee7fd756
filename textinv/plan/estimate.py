"""What a plan will cost, roughly.

Owns the arithmetic: sample passes from the specs, time from the pace of concepts that were learned on the same base
model before, money from a price. A guess that has nothing to go by is None, not a number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from textinv.plan.published import PlannedSpec, example_records
from textinv.spec import TrainSpec

if TYPE_CHECKING:
    from textinv.registry import Registry

EXAMPLES = 8
PREVIEW_INFERENCE_STEPS = 10
"""Of a preview picture; with 25 it looks nearly the same."""
PREVIEW_PASSES = 15
"""What a preview costs in sample passes: 14.4 to 15.0 measured with the demo base on one thread."""
EVALUATION_INFERENCE_STEPS = 10
"""Of a picture that is drawn for the evaluation in a record."""
EVALUATION_PASSES = 140
"""What scoring an object costs in sample passes: 138 measured with the demo base on one thread; a style costs 104."""
PINNED_PASSES = 35
"""What pinned pictures cost where nothing can be scored: four of the sixteen that scoring an object draws."""
RANKED_WORDS = 60
"""Words that `init: auto` compares by their loss where the base model has no CLIP of its own: the shortlist of
`textinv.training.ranking` and the class word, each on the whole fixed batch, while all slots wait."""
MAX_PREVIEWS = 64
"""Of one concept; more would crowd the store."""


@dataclass(frozen=True)
class Estimate:
    """Of all concepts that are not done."""

    concepts: int
    sample_passes: int
    """As many as are likely: a concept with a stopping rule is taken to stop half-way between its bounds."""
    max_sample_passes: int
    preview_passes: int
    """What previews cost on top of that."""
    evaluation_passes: int
    """What scoring the learned concepts, or only drawing their pinned pictures, costs on top of that."""
    init_passes: int
    """What finding initializers by their loss costs on top of that."""
    worker_s: float | None
    """Seconds of one worker like those that learned before."""
    cost: float | None
    """In the currency of the price of a GPU hour."""


def estimate(
    specs: Sequence[PlannedSpec],
    registry: "Registry | None",
    gpu_hour_price: float | None,
    *,
    are_scored: bool = True,
    has_clip: bool = True,
) -> Estimate:
    """Estimate what is still to be done.

    Without a CLIP of the base model's own (not `has_clip`) `init: auto` takes forwards of the UNet; without an encoder
    (not `are_scored`) only pinned pictures are drawn. A folder that is no encoder shows on the worker only: its
    passes are counted, and then not spent.
    """
    left = [planned.spec for planned in specs if planned.state != "done"]
    passes = sum(likely_passes(spec) for spec in left)
    previews = PREVIEW_PASSES * sum(likely_previews(spec) for spec in left)
    pace = _pace(specs, left[0].base_revision, registry) if left and registry else None
    evaluations = (EVALUATION_PASSES if are_scored else PINNED_PASSES) * sum(spec.evaluate for spec in left)
    inits = 0 if has_clip else sum(ranking_passes(spec) for spec in left)
    seconds = (passes + previews + evaluations + inits) / pace if pace else None
    return Estimate(
        concepts=len(left),
        sample_passes=passes,
        max_sample_passes=sum(spec.max_steps * spec.samples_per_step for spec in left),
        preview_passes=previews,
        evaluation_passes=evaluations,
        init_passes=inits,
        worker_s=seconds,
        cost=seconds / 3600 * gpu_hour_price if seconds is not None and gpu_hour_price is not None else None,
    )


def likely_passes(spec: TrainSpec) -> int:
    """Sample passes that a concept is likely to take."""
    return round(_likely_steps(spec) * spec.samples_per_step)


def ranking_passes(spec: TrainSpec) -> int:
    """What `init: auto` costs where words are ranked by their loss: forwards alone, half a sample pass each."""
    return RANKED_WORDS * spec.stop.num_samples // 2 if spec.init == "auto" and spec.init_embedding is None else 0


def likely_previews(spec: TrainSpec) -> int:
    """Preview pictures that a concept is likely to have: one every so many steps, and one of the rows that are kept."""
    return min(MAX_PREVIEWS, int(_likely_steps(spec) // spec.preview_every) + 1) if spec.preview_every else 0


def _likely_steps(spec: TrainSpec) -> float:
    return spec.max_steps if spec.stop.rule == "fixed" else (spec.min_steps + spec.max_steps) / 2


def _pace(specs: Sequence[PlannedSpec], base_revision: str, registry: "Registry") -> float | None:
    """Sample passes per second of one worker, from the records of a few concepts of the same base model."""
    done = (planned.spec.name for planned in specs if planned.state != "new")
    paces = [pace_of(record) for record in example_records(done, base_revision, registry, EXAMPLES)]
    known = [pace for pace in paces if pace is not None]
    return median(known) if known else None


def pace_of(record: Mapping[str, Any]) -> float | None:
    """Sample passes per second of the worker that wrote a record: all its slots together; None if it does not say."""
    try:
        passes, seconds, slots = (float(record[field]) for field in ("sample_passes", "seconds", "num_slots"))
    except (KeyError, TypeError, ValueError):
        return None  # imported from elsewhere
    return passes / seconds * max(1.0, slots) if passes > 0 and seconds > 0 else None
