"""What a concept learns does not depend on its neighbours, on interruptions, or on their misfortunes."""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from textinv.demo.concepts import CONCEPTS
from textinv.errors import DivergedError, ImageError
from textinv.models.base import BaseModel
from textinv.plan.recipes import INSTANT, RECIPES
from textinv.plan.resolve import BaseFacts
from textinv.spec import OptimizerSpec, StopSpec
from textinv.training import ConceptPack, TrainedConcept, Work
from textinv.training.checkpoint import Checkpoint
from textinv.training.train import Collected, WorkList, learn, train_pack

sys.path.append(str(Path(__file__).parent.parent / "benchmarks"))

MakeWork = Callable[..., Work]
NUM_STEPS = 100


def rows_of(concept: TrainedConcept) -> Tensor:
    return concept.embedding.rows["text_encoder"]


def difference(one: TrainedConcept, two: TrainedConcept) -> float:
    """Relative difference of the learned rows."""
    return float((rows_of(one) - rows_of(two)).norm() / rows_of(one).norm())


def losses(concept: TrainedConcept) -> list[float]:
    return [seen["loss"] for seen in concept.record["trace"]]


def strangers(works: MakeWork, count: int, **changes: Any) -> list[Work]:
    """Concepts that differ in everything that may differ."""
    return [
        works(
            f"stranger{index}",
            colour=("teal", "yellow", "purple")[index % 3],
            num_vectors=1 + index % 3,
            samples_per_step=1 + index // 6,
            seed=50 + index,
            flip=bool(index % 2),
            **{"max_steps": 20 + index, **changes},
        )
        for index in range(count)
    ]


def learned_until(model: BaseModel, step: int, mine: Work, *others: Work) -> bytes:
    """The checkpoint of a concept after so many steps, in company for as long as that has steps."""
    collected = Collected()
    train_pack(
        model,
        WorkList([*others[:3], mine, *others[3:]]),
        collected,
        num_slots=1 + len(others),
        should_drain=lambda: any(seen.name == mine.spec.name and seen.step >= step for seen in collected.progresses),
    )
    return collected.checkpoints[mine.spec.name]


@pytest.mark.load
@pytest.mark.timeout(900)
@pytest.mark.parametrize("recipe", sorted(RECIPES.keys() - {INSTANT}))
def test_a_concept_learns_the_same_alone_and_interrupted_among_strangers(
    recipe: str, emoji: BaseModel, works: MakeWork
) -> None:
    """On a concept where steps of a fixed length once grew a rounding to a tenth of the rows."""
    from train_concepts import works_of

    model = emoji
    hard = [concept for concept in CONCEPTS if concept.name == "tulip"]
    steps = NUM_STEPS
    longer = dict.fromkeys(("min_steps", "max_steps"), 2 * steps) if RECIPES[recipe].max_steps <= steps else {}
    (mine,) = works_of(hard, {"recipe": recipe, **longer}, 1, BaseFacts(model.revision, model.native_px))
    alone = Checkpoint.from_bytes(learned_until(model, steps, mine))
    interrupted = learned_until(model, steps // 2, mine, *strangers(works, 7, max_steps=steps))
    rest = Work(mine.spec, mine.pictures, interrupted, mine.work_id)
    among = Checkpoint.from_bytes(learned_until(model, steps, rest, *strangers(works, 2, max_steps=steps)))
    assert alone.counters["step"] == among.counters["step"] >= steps
    limit = max(1e-3, min(10 * rounding(model, works, mine, alone), 1e-2))
    assert distance(among, alone) < limit
    found, wanted = ([seen["loss"] for seen in one.counters["history"]] for one in (among, alone))
    assert found == pytest.approx(wanted, rel=limit)


def distance(one: Checkpoint, two: Checkpoint) -> float:
    """Relative difference of the rows of two checkpoints."""
    rows, expected = (each.tensors["rows.text_encoder"] for each in (one, two))
    return float((rows - expected).norm() / expected.norm())


def rounding(model: BaseModel, works: MakeWork, mine: Work, alone: Checkpoint) -> float:
    """What this machine's rounding grows to in so many steps: the difference that a single neighbour makes.

    AdamW lets it grow to 3e-4 in a hundred steps on one CPU; on others it may be more.
    """
    steps = alone.counters["step"]
    beside = learned_until(model, steps, mine, *strangers(works, 1, max_steps=steps))
    return distance(Checkpoint.from_bytes(beside), alone)


def run_pack(pack: ConceptPack, steps: int) -> None:
    for _ in range(steps):
        pack.look()
        pack.step()


ALL_STEPS = 9
DVAR = StopSpec(rule="dvar", every_steps=3, window=3, threshold=1e-9, num_samples=8)


@pytest.mark.parametrize("way", ["sphere", "adamw", "context", "dvar"])
def test_a_pack_that_was_interrupted_at_a_random_step_goes_on_bit_for_bit(
    tiny: BaseModel, works: MakeWork, adamw: OptimizerSpec, way: str
) -> None:
    changes: dict[str, Any] = {
        "sphere": {},
        "adamw": {"optimizer": adamw, "samples_per_step": 1},
        "context": {"context_weight": 0.1, "samples_per_step": 1},
        "dvar": {"stop": DVAR, "samples_per_step": 1},
    }[way]
    batch = [works("one", **changes), works("two", "teal", num_vectors=2, **{"samples_per_step": 2, **changes})]
    interrupted_at = random.Random().randrange(1, ALL_STEPS)
    whole, first, second = ConceptPack(tiny, 2), ConceptPack(tiny, 2), ConceptPack(tiny, 2)
    for work in batch:
        whole.add(work)
        first.add(work)
    run_pack(whole, ALL_STEPS)
    run_pack(first, interrupted_at)
    for slot in first.slots:
        second.add(Work(slot.spec, slot.work.pictures, first.checkpoint(slot)))
    run_pack(second, ALL_STEPS - interrupted_at)
    for one, two in zip(whole.slots, second.slots, strict=True):
        assert one.history == two.history, f"interrupted at step {interrupted_at}"
        one_end, two_end = whole.end(one, "cap").outcome, second.end(two, "cap").outcome
        assert isinstance(one_end, TrainedConcept)
        assert isinstance(two_end, TrainedConcept)
        assert torch.equal(rows_of(one_end), rows_of(two_end)), f"interrupted at step {interrupted_at}"


def test_an_interrupted_concept_goes_on_among_strangers_to_float_tolerance(
    tiny: BaseModel, works: MakeWork, adamw: OptimizerSpec
) -> None:
    changes: dict[str, Any] = {"optimizer": adamw, "num_vectors": 2, "max_steps": 30, "samples_per_step": 1}
    mine = works("mine", **changes)
    whole = learn(tiny, [mine], num_slots=1).concepts["mine"]
    first = ConceptPack(tiny, 1)
    slot = first.add(mine)
    run_pack(first, 17)
    rest = works("mine", checkpoint=first.checkpoint(slot), **changes)
    resumed = learn(tiny, [*strangers(works, 2), rest], num_slots=3).concepts["mine"]
    assert difference(whole, resumed) < 1e-3
    assert losses(resumed) == pytest.approx(losses(whole), rel=1e-3)


def test_a_neighbour_whose_pictures_cannot_be_used_is_not_noticed(tiny: BaseModel, works: MakeWork) -> None:
    few = {"samples_per_step": 2, "max_steps": 10}
    broken, mine = works("broken"), works("mine", **few)
    calm = learn(tiny, [works("other", "teal", **few), mine], num_slots=2).concepts["mine"]
    run = learn(tiny, [Work(broken.spec, broken.pictures[:1]), mine], num_slots=2)
    assert isinstance(run.errors["broken"], ImageError)
    assert difference(run.concepts["mine"], calm) < 1e-4
    assert losses(run.concepts["mine"]) == pytest.approx(losses(calm), rel=1e-4)


def test_a_neighbour_that_diverges_ends_with_its_trace_and_is_not_noticed(
    tiny: BaseModel, works: MakeWork, adamw: OptimizerSpec
) -> None:
    wild = adamw.model_copy(update={"learning_rate": 1e30})
    few = {"samples_per_step": 2, "max_steps": 10}
    mine = works("mine", **few)
    calm = learn(tiny, [works("other", "teal", optimizer=adamw, **few), mine], num_slots=2).concepts["mine"]
    run = learn(tiny, [works("other", "teal", optimizer=wild, **few), mine], num_slots=2)
    assert isinstance(run.errors["other"], DivergedError)
    assert run.records["other"]["stopped"] == "diverged"
    assert run.records["other"]["trace"][0]["loss"] > 0
    assert difference(run.concepts["mine"], calm) < 1e-4
    assert losses(run.concepts["mine"]) == pytest.approx(losses(calm), rel=1e-4)
