"""Learning concepts of the demo world from beginning to end."""

import dataclasses
import itertools
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from textinv.errors import CancelledError, ImageError
from textinv.evaluation import Drawing, own_scorer
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.spec import OptimizerSpec, StopSpec
from textinv.training import ConceptPack, Progress, Work, train_pack
from textinv.training.slot import has_converged
from textinv.training.train import Collected, WorkList, learn

MakeWork = Callable[..., Work]


class FaultyOnce:
    """A base model whose first look at a fixed batch is not finite for the first of its slots."""

    def __init__(self, model: BaseModel) -> None:
        self._model = model
        self._num_looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, *args: Any, **extras: Any) -> torch.Tensor:
        """Predict."""
        predicted = self._model.predict(*args, **extras)
        if not torch.is_grad_enabled():
            self._num_looks += 1
            if self._num_looks == 1:
                predicted[:8] = torch.nan
        return predicted


def weights_of(model: BaseModel) -> dict[str, torch.Tensor]:
    return {encoder: model.vocabulary(encoder).clone() for encoder in model.encoder_names}


def test_two_concepts_are_learned_and_their_fixed_batch_losses_fall(model: BaseModel, works: MakeWork) -> None:
    before = weights_of(model)
    learned = learn(
        model, [works("one", "red", max_steps=10), works("two", "teal", num_vectors=2, max_steps=10)], num_slots=2
    )
    assert learned.errors == {}
    for name, num_vectors in (("one", 1), ("two", 2)):
        concept = learned.concepts[name]
        trace = [seen["loss"] for seen in concept.record["trace"]]
        assert trace[-1] < trace[0]
        assert concept.embedding.rows["text_encoder"].shape == (num_vectors, model.encoder_widths["text_encoder"])
        assert concept.record["stopped"] == "cap"
        assert concept.record["sample_passes"] == 40
        assert json.loads(json.dumps(concept.record)) == concept.record
    assert not torch.equal(
        learned.concepts["one"].embedding.rows["text_encoder"][0],
        learned.concepts["two"].embedding.rows["text_encoder"][0],
    )
    for encoder, vocabulary in weights_of(model).items():
        assert torch.equal(vocabulary, before[encoder])


def test_adamw_and_sphere_share_a_pack(tiny: BaseModel, works: MakeWork, adamw: OptimizerSpec) -> None:
    batch = [works("sphere", max_steps=10), works("adamw", max_steps=10, optimizer=adamw)]
    learned = learn(tiny, batch, num_slots=2)
    norms = {
        name: concept.embedding.rows["text_encoder"].norm(dim=-1).item() for name, concept in learned.concepts.items()
    }
    vocabulary_norm = tiny.vocabulary("text_encoder").float().norm(dim=-1).mean().item()
    assert norms["sphere"] == pytest.approx(vocabulary_norm, rel=1e-5)
    assert norms["adamw"] != pytest.approx(vocabulary_norm, rel=1e-3)
    for concept in learned.concepts.values():
        assert concept.record["trace"][-1]["loss"] < concept.record["trace"][0]["loss"]


def test_a_concept_stops_by_its_evidence_and_keeps_its_best_rows(tiny: BaseModel, works: MakeWork) -> None:
    stop = StopSpec(rule="dvar", every_steps=2, window=3, threshold=0.6, num_samples=8)
    learned = learn(tiny, [works("one", max_steps=60, min_steps=8, samples_per_step=2, stop=stop)], num_slots=1)
    record = learned.records["one"]
    losses = {seen["step"]: seen["loss"] for seen in record["trace"]}
    assert record["stopped"] == "converged"
    assert 8 <= record["steps"] < 60
    assert list(losses) == list(range(0, record["steps"] + 1, 2))
    assert losses[record["kept_step"]] == min(losses.values())
    assert has_converged(list(losses.values()), stop.window, stop.threshold)
    before = [has_converged(list(losses.values())[:count], 3, 0.6) for count in range(5, len(losses))]
    assert not any(before)


def test_slots_are_refilled_until_the_source_is_empty(tiny: BaseModel, works: MakeWork) -> None:
    batch = [works(f"c{index}", max_steps=2 + index, samples_per_step=2) for index in range(5)]
    learned = learn(tiny, batch, num_slots=2)
    assert sorted(learned.concepts) == [f"c{index}" for index in range(5)]
    assert {concept.record["steps"] for concept in learned.concepts.values()} == {2, 3, 4, 5, 6}
    assert set(learned.slots.values()) == {0, 1}


def test_a_concept_without_pictures_fails_alone(tiny: BaseModel, works: MakeWork) -> None:
    empty = works("empty")
    empty = Work(empty.spec, [], None, "empty")
    learned = learn(tiny, [empty, works("fine", max_steps=2)], num_slots=2)
    assert isinstance(learned.errors["empty"], ImageError)
    assert learned.records["empty"]["error"]["code"] == "invalid_image"
    assert set(learned.concepts) == {"fine"}


def test_pictures_that_cannot_be_used_end_one_concept_with_a_typed_error(tiny: BaseModel, works: MakeWork) -> None:
    gray = works("gray")
    flat = [dataclasses.replace(picture, pixels=picture.pixels[:, :, 0]) for picture in gray.pictures]
    few = works("few")
    wild = works("wild", timesteps=(500, 2000))
    batch = [Work(gray.spec, flat), Work(few.spec, few.pictures[:1]), wild, works("fine", max_steps=2)]
    learned = learn(tiny, batch, num_slots=4)
    assert set(learned.concepts) == {"fine"}
    assert {name: error.code for name, error in learned.errors.items()} == {
        "gray": "training_failed",
        "few": "invalid_image",
        "wild": "invalid_input",
    }
    assert all(learned.records[name]["stopped"] == "failed" for name in ("gray", "few", "wild"))


def test_draining_saves_every_slot_and_a_later_run_goes_on(tiny: BaseModel, works: MakeWork) -> None:
    sink = Collected()
    looks = iter([False] * 4)
    few = {"max_steps": 8, "samples_per_step": 1}
    both = WorkList([works("one", **few), works("two", **few)])
    train_pack(tiny, both, sink, num_slots=2, should_drain=lambda: next(looks, True))
    assert sink.concepts == {}
    assert set(sink.checkpoints) == {"one", "two"}
    assert all(len(data) < 16_000 for data in sink.checkpoints.values())
    rest = learn(tiny, [works(name, checkpoint=data, **few) for name, data in sink.checkpoints.items()], num_slots=2)
    assert all(concept.record["steps"] == 8 for concept in rest.concepts.values())


@pytest.mark.parametrize(("method", "most"), [("sphere", 20_000), ("adamw", 28_000)])
def test_a_checkpoint_of_four_vectors_after_many_looks_stays_small(
    model: BaseModel, works: MakeWork, adamw: OptimizerSpec, method: str, most: int
) -> None:
    changes: dict[str, Any] = {"optimizer": adamw} if method == "adamw" else {}
    pack = ConceptPack(model, 1)
    slot = pack.add(works("one", num_vectors=4, **changes))
    pack.look()
    slot.history *= 80
    assert len(pack.checkpoint(slot)) < most


def test_a_concept_that_is_cancelled_at_a_first_look_that_is_not_finite_leaves_alone(
    tiny: BaseModel, works: MakeWork
) -> None:
    def cancel_one(progress: Progress) -> None:
        if progress.name == "one":
            raise CancelledError("one was cancelled")

    faulty: Any = FaultyOnce(tiny)
    learned = learn(faulty, [works("one", max_steps=2), works("two", max_steps=2)], num_slots=2, on_progress=cancel_one)
    assert isinstance(learned.errors["one"], CancelledError)
    assert learned.records["one"]["trace"][0]["loss"] is None
    assert set(learned.concepts) == {"two"}


def test_a_cancelled_concept_leaves_and_the_others_go_on(tiny: BaseModel, works: MakeWork) -> None:
    def cancel_one(progress: Progress) -> None:
        if progress.name == "one" and progress.step == 10:
            raise CancelledError("one was cancelled")

    batch = [works("one", samples_per_step=1), works("two", max_steps=12, samples_per_step=1)]
    learned = learn(tiny, batch, num_slots=2, on_progress=cancel_one)
    assert isinstance(learned.errors["one"], CancelledError)
    assert learned.records["one"]["stopped"] == "cancelled"
    assert learned.records["one"]["steps"] == 10
    assert learned.concepts["two"].record["steps"] == 12


def test_the_scores_go_into_the_record(model: BaseModel, works: MakeWork) -> None:
    scorer = own_scorer(model, Drawing(num_images=1, num_inference_steps=2))
    learned = learn(model, [works("one", max_steps=2, class_word=None, init="ball")], num_slots=1, scorer=scorer)
    report = learned.records["one"]["evaluation"]
    assert -1 < report["encoders"][0]["fidelity"] < report["encoders"][0]["real_to_real"]
    assert learned.records["one"]["cosine_to_initializer"]["text_encoder"] > 0.9
    assert json.loads(json.dumps(learned.records["one"])) == learned.records["one"]


@pytest.mark.parametrize("crop", ["center", "random"])
def test_a_picture_of_which_the_crop_leaves_only_what_is_transparent_is_refused(
    tiny: BaseModel, works: MakeWork, crop: str
) -> None:
    alpha = np.zeros((64, 640), np.uint8)
    alpha[:, -8:] = alpha[:, :8] = 255
    pixels = np.full((64, 640, 3), 128, np.uint8)
    wide = [Picture(pixels, alpha, f"wide-{index}", f"wide-{index}.png") for index in range(3)]
    learned = learn(tiny, [works("hidden", picture_list=wide, crop=crop), works("fine", max_steps=2)], num_slots=2)
    assert isinstance(learned.errors["hidden"], ImageError)
    assert "wide-0.png" in learned.errors["hidden"].message
    assert set(learned.concepts) == {"fine"}


def test_sizes_that_alternate_fill_the_packs_nevertheless(tiny: BaseModel, works: MakeWork) -> None:
    in_training: list[int] = []

    class Watched(Collected):
        def started(self, work: Work, slot: int) -> None:
            super().started(work, slot)
            in_training.append(work.spec.resolution_px)

    batch = [works(f"c{k}", max_steps=1, samples_per_step=1, resolution_px=(64, 32)[k % 2]) for k in range(12)]
    sink = Watched()
    train_pack(tiny, WorkList(batch), sink, num_slots=3)
    assert len(sink.concepts) == 12
    # Three begin, three of the same size may overtake those that wait, then it is the others' turn.
    changes = sum(one != two for one, two in itertools.pairwise(in_training))
    assert changes <= 4
    assert in_training[:3] == [64] * 3


def test_concepts_of_another_size_wait_for_their_turn(tiny: BaseModel, works: MakeWork) -> None:
    sizes = {"big": 64, "small": 32}
    learned = learn(tiny, [works(name, max_steps=2, resolution_px=size) for name, size in sizes.items()], num_slots=2)
    assert set(learned.concepts) == {"big", "small"}
