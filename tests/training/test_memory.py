"""Running out of memory makes forwards smaller, and nothing of what is learned changes by it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.models.tiny_bases import make_base
from textinv.errors import OutOfMemoryError
from textinv.models import load_base_model
from textinv.models.base import BaseModel, Conditioning
from textinv.models.room import Room
from textinv.training import ConceptPack, Work, capacity, ranking
from textinv.training.capacity import choose_capacity, past_knee
from textinv.training.ranking import LOSS_SAMPLES, SHORTLIST
from textinv.training.train import Collected, learn


class SmallModel:
    """A base model on a device that holds at most `max_samples` at once, of latents so large."""

    def __init__(self, model: BaseModel, max_samples: int, *, only_with_gradient: bool = True) -> None:
        self._model = model
        self._max_samples = max_samples
        self._only_with_gradient = only_with_gradient
        self.tried: list[int] = []
        """Samples of every forward that was asked for."""
        self.num_refusals = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        """Predict, if it fits."""
        counts = torch.is_grad_enabled() or not self._only_with_gradient
        self.tried += [len(noisy_BCHW)] if counts else []
        if counts and len(noisy_BCHW) > self._max_samples:
            self.num_refusals += 1
            raise torch.OutOfMemoryError(f"{len(noisy_BCHW)} samples do not fit")
        return self._model.predict(noisy_BCHW, timesteps_B, conditioning)


def rows_of(learned: Collected, name: str) -> Tensor:
    return learned.concepts[name].embedding.rows["text_encoder"]


def test_rows_are_the_same_however_a_batch_is_split(tiny: BaseModel, works: Callable[..., Work]) -> None:
    batch = [
        works("one", samples_per_step=3, context_weight=0.1, max_steps=3, resolution_px=32),
        works("two", "teal", samples_per_step=2, num_vectors=2, seed=5, max_steps=3, resolution_px=32),
        works("three", "yellow", seed=7, flip=True, max_steps=3, resolution_px=32),
    ]
    whole = learn(tiny, batch, num_slots=3)
    for most in (1, 2, 5):
        cramped = learn(SmallModel(tiny, most), batch, num_slots=3)  # type: ignore[arg-type]
        for name, concept in cramped.concepts.items():
            assert torch.allclose(rows_of(cramped, name), rows_of(whole, name), rtol=1e-4, atol=1e-6), (most, name)
            assert concept.record["num_slots"] == 3, "no slot is lost"
            assert concept.record["steps"] == 3
        assert len(cramped.concepts) == 3


def test_a_step_of_256_samples_is_taken_where_four_fit(tiny: BaseModel, works: Callable[..., Work]) -> None:
    cramped = SmallModel(tiny, 4)
    work = works("many", samples_per_step=256, max_steps=1, resolution_px=16)
    learned = learn(cramped, [work], num_slots=1)  # type: ignore[arg-type]
    assert learned.concepts["many"].record["sample_passes"] == 256
    assert cramped.tried == [16, 8, *[4] * 64]


def test_looks_and_ranked_words_are_split_as_well(
    tiny: BaseModel, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "SHORTLIST", SHORTLIST[:16])
    cramped = SmallModel(tiny, 2, only_with_gradient=False)
    work = works("found", init="auto", class_word=None, resolution_px=32, max_steps=2, samples_per_step=2)
    learned = learn(cramped, [work], num_slots=1)  # type: ignore[arg-type]
    wanted = learn(tiny, [work], num_slots=1)
    assert learned.records["found"]["started_from"] == wanted.records["found"]["started_from"]
    assert torch.allclose(rows_of(learned, "found"), rows_of(wanted, "found"), rtol=1e-4, atol=1e-6)


def test_what_fits_is_remembered_and_told_when_it_is_lowered(
    tiny: BaseModel, works: Callable[..., Work], caplog: pytest.LogCaptureFixture
) -> None:
    cramped = SmallModel(tiny, 2)
    batch = [works(f"c{index}", resolution_px=size, max_steps=3) for index, size in enumerate((64, 32, 64))]
    learned = learn(cramped, batch, num_slots=1)  # type: ignore[arg-type]
    assert len(learned.concepts) == 3
    assert cramped.num_refusals == 2, "once for each size"
    lowered = [json.loads(record.message) for record in caplog.records if "no_memory_for" in record.message]
    assert [(seen["no_memory_for"], seen["from_now_on"]) for seen in lowered] == [(4, 2), (4, 2)]


def test_more_samples_are_tried_again_long_after_they_did_not_fit() -> None:
    room = Room(8, 32)
    room.was_full("a")
    assert room.found["a"] == 16, "it grows as long as it fits"
    assert room.lacked("a", 16)
    tries = 0
    while room.found["a"] == 8:
        room.was_full("a")
        tries += 1
    assert tries > 100
    assert room.found["a"] == 16
    assert "b" not in room.found, "of other kinds nothing is learned"
    assert not Room(1).lacked("a", 1)


def test_a_sample_that_does_not_fit_alone_is_a_typed_error_and_ends_only_its_own_concept(
    tiny: BaseModel, works: Callable[..., Work]
) -> None:
    batch = [works("large", resolution_px=64), works("small", resolution_px=32, max_steps=1)]

    class Narrow(SmallModel):
        def predict(self, noisy_BCHW: Tensor, *rest: Any, **extras: Any) -> Tensor:
            self._max_samples = 0 if noisy_BCHW.shape[-1] > 8 else 99
            return super().predict(noisy_BCHW, *rest, **extras)

    learned = learn(Narrow(tiny, 0), batch, num_slots=2)  # type: ignore[arg-type]
    assert isinstance(learned.errors["large"], OutOfMemoryError)
    assert learned.records["large"]["error"]["code"] == "out_of_memory"
    assert [seen["step"] for seen in learned.records["large"]["trace"]] == [0]
    assert list(learned.concepts) == ["small"]


def test_a_concept_for_whose_pictures_there_is_no_memory_beside_others_waits_until_one_leaves(
    tiny: BaseModel, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = [works(f"c{index}", seed=index, max_steps=2 + index) for index in range(3)]
    add = ConceptPack.add

    def crowded(self: ConceptPack, work: Work) -> Any:
        if len(self.slots) == 2:
            raise torch.OutOfMemoryError("no")
        return add(self, work)

    monkeypatch.setattr(ConceptPack, "add", crowded)
    learned = learn(tiny, batch, num_slots=3)
    assert sorted(learned.concepts) == ["c0", "c1", "c2"]


def test_words_are_ranked_by_loss_in_forwards_that_do_not_grow_with_the_shortlist(
    tmp_path: Path, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    blind = load_base_model(str(make_base("sd1", tmp_path / "base")), device="cpu", dtype="float32")
    sizes: list[int] = []
    predict = blind.predict

    def noting(noisy_BCHW: Tensor, *rest: Any, **extras: Any) -> Tensor:
        sizes.append(len(noisy_BCHW))
        return predict(noisy_BCHW, *rest, **extras)

    monkeypatch.setattr(blind, "predict", noting)
    work = works("found", init="auto", class_word=None, resolution_px=32, max_steps=1, samples_per_step=1)
    learned = learn(blind, [work], num_slots=1)
    assert set(learned.concepts) == {"found"}
    assert len(sizes) > len(SHORTLIST) // 2
    assert max(sizes) <= LOSS_SAMPLES


def test_forwards_are_measured_until_a_larger_one_brings_little() -> None:
    measured = [(1, 10.0), (2, 19.0), (4, 30.0), (8, 33.0), (16, 33.5)]
    assert [past_knee(measured[:count]) for count in range(1, 6)] == [False, False, False, False, True]


def test_forwards_are_measured_until_memory_or_throughput_end(tiny: BaseModel) -> None:
    chosen = choose_capacity(SmallModel(tiny, 2), "auto", 16)  # type: ignore[arg-type]
    assert chosen.most is not None
    assert 1 <= chosen.knee <= chosen.most <= 2
    assert all(rate > 0 for _, rate in chosen.samples_per_s)
    assert choose_capacity(tiny, 3).slots_of(4) == 3


@pytest.mark.parametrize(("rate_again", "stays"), [(0.8, True), (0.4, False)])
def test_activations_are_computed_again_where_more_samples_outweigh_it(
    tiny: BaseModel, monkeypatch: pytest.MonkeyPatch, rate_again: float, stays: bool
) -> None:
    """Two samples fit, or eight whose activations are computed again; a step of more is faster for each of them."""
    asked: list[bool] = []

    class Switching(SmallModel):
        def checkpoint_gradients(self, on: bool = True) -> bool:
            asked.append(on)
            return True

    def rate(_: BaseModel, num_samples: int, resolution_px: int) -> float:
        is_again = bool(asked)
        if num_samples > (8 if is_again else 2):
            raise torch.OutOfMemoryError("no")
        return num_samples**0.5 * (rate_again if is_again else 1.0)

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    chosen = choose_capacity(Switching(tiny, 99), "auto", 16)  # type: ignore[arg-type]
    assert chosen.most == (8 if stays else 2)
    assert asked == ([True] if stays else [True, False])


def test_a_cpu_without_memory_ends_the_measurement_as_a_gpu_does(
    tiny: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(_: BaseModel, num_samples: int, resolution_px: int) -> float:
        if num_samples > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return float(num_samples)

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    assert choose_capacity(SmallModel(tiny, 99), "auto").knee == 2  # type: ignore[arg-type]


def test_slots_are_the_fewest_that_fill_a_forward_measured_once_for_each_size(
    tiny: BaseModel, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples_that_pay = {64: 1, 32: 2, 48: 4}
    measured: list[tuple[int, int]] = []

    def rate(_: BaseModel, num_samples: int, resolution_px: int) -> float:
        measured.append((resolution_px, num_samples))
        return float(min(num_samples, samples_that_pay[resolution_px]))

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    small = SmallModel(tiny, 99)
    sizes = [32, 32, 48, 64, 32]
    batch = [
        works(f"c{index}", max_steps=1, samples_per_step=1, resolution_px=size) for index, size in enumerate(sizes)
    ]
    learned = learn(small, batch)  # type: ignore[arg-type]
    records = [learned.records[f"c{index}"] for index in range(len(sizes))]
    assert [record["num_slots"] for record in records] == [2, 2, 4, 1, 2]
    assert len(measured) == len(set(measured))
    assert records[0]["samples_per_s"] == records[4]["samples_per_s"] == {"1": 1.0, "2": 2.0, "4": 2.0}
    assert json.loads(json.dumps(records)) == records
    wide = learn(small, [works("wide", max_steps=1, samples_per_step=3, resolution_px=48)])  # type: ignore[arg-type]
    assert wide.records["wide"]["num_slots"] == 2, "two of three samples fill a forward of four"


def test_a_size_of_which_no_sample_fits_ends_its_own_concepts_alone(
    tiny: BaseModel, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(_: BaseModel, num_samples: int, resolution_px: int) -> float:
        if resolution_px == 64:
            raise torch.OutOfMemoryError("no")
        return float(num_samples)

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    batch = [works("large", resolution_px=64), works("small", max_steps=1, resolution_px=32)]
    learned = learn(SmallModel(tiny, 99), batch)  # type: ignore[arg-type]
    assert isinstance(learned.errors["large"], OutOfMemoryError)
    assert list(learned.concepts) == ["small"]
