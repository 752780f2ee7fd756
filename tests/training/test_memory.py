"""Running out of memory halves the slots, and nothing that was learned is lost."""

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
from textinv.training import Work, capacity
from textinv.training.capacity import choose_num_slots, past_knee
from textinv.training.ranking import LOSS_SAMPLES, SHORTLIST
from textinv.training.train import learn


class SmallModel:
    """A base model on a device that holds at most `max_samples` at once."""

    def __init__(self, model: BaseModel, max_samples: int) -> None:
        self._model = model
        self._max_samples = max_samples
        self.num_refusals = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, **extras: Any) -> Tensor:
        """Predict, if it fits."""
        if torch.is_grad_enabled() and len(noisy_BCHW) > self._max_samples:
            self.num_refusals += 1
            raise torch.OutOfMemoryError(f"{len(noisy_BCHW)} samples do not fit")
        return self._model.predict(noisy_BCHW, timesteps_B, conditioning, **extras)


@pytest.mark.parametrize("slots_that_fit", [1, 2])
def test_out_of_memory_halves_the_slots_and_every_concept_is_learned(
    tiny: BaseModel, works: Callable[..., Work], slots_that_fit: int
) -> None:
    batch = [works(f"c{index}", seed=index, max_steps=4, samples_per_step=2) for index in range(4)]
    roomy = learn(tiny, batch, num_slots=4)
    cramped = learn(SmallModel(tiny, 2 * slots_that_fit), batch, num_slots=4)  # type: ignore[arg-type]
    assert sorted(cramped.concepts) == ["c0", "c1", "c2", "c3"]
    for name, concept in cramped.concepts.items():
        rows, expected = (run.concepts[name].embedding.rows["text_encoder"] for run in (cramped, roomy))
        assert torch.allclose(rows, expected, rtol=1e-3, atol=1e-5)
        assert concept.record["steps"] == 4
    assert cramped.records["c3"]["num_slots"] == slots_that_fit


def test_a_single_slot_that_does_not_fit_is_a_typed_error(tiny: BaseModel, works: Callable[..., Work]) -> None:
    learned = learn(SmallModel(tiny, 2), [works("large", samples_per_step=4)], num_slots=2)  # type: ignore[arg-type]
    assert isinstance(learned.errors["large"], OutOfMemoryError)
    assert learned.records["large"]["error"]["code"] == "out_of_memory"
    assert [seen["step"] for seen in learned.records["large"]["trace"]] == [0]


def test_a_cpu_without_memory_ends_the_measurement_as_a_gpu_does(
    tiny: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(_: BaseModel, num_slots: int, resolution_px: int) -> float:
        if num_slots > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")
        return float(num_slots)

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    assert choose_num_slots(SmallModel(tiny, 99), "auto").num_slots == 2  # type: ignore[arg-type]


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


def test_packs_are_measured_until_a_larger_one_brings_little() -> None:
    measured = [(1, 10.0), (2, 19.0), (4, 30.0), (8, 33.0), (16, 33.5)]
    assert [past_knee(measured[:count]) for count in range(1, 6)] == [False, False, False, False, True]


def test_slots_are_measured_until_memory_or_throughput_end(model: BaseModel) -> None:
    chosen = choose_num_slots(SmallModel(model, 8), "auto")  # type: ignore[arg-type]
    assert 1 <= chosen.num_slots <= 2
    assert all(rate > 0 for _, rate in chosen.samples_per_s)
    assert choose_num_slots(model, 3).num_slots == 3


def test_slots_are_measured_at_the_size_of_the_work_and_once_for_each_size(
    tiny: BaseModel, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    slots_that_pay = {64: 1, 32: 2, 48: 4}
    measured: list[tuple[int, int]] = []

    def rate(_: BaseModel, num_slots: int, resolution_px: int) -> float:
        measured.append((resolution_px, num_slots))
        return float(min(num_slots, slots_that_pay[resolution_px]))

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    sizes = [32, 32, 48, 64, 32]
    batch = [
        works(f"c{index}", max_steps=1, samples_per_step=1, resolution_px=size) for index, size in enumerate(sizes)
    ]
    learned = learn(SmallModel(tiny, 99), batch)  # type: ignore[arg-type]
    records = [learned.records[f"c{index}"] for index in range(len(sizes))]
    assert [record["num_slots"] for record in records] == [2, 2, 4, 1, 2]
    assert len(measured) == len(set(measured))
    assert records[0]["samples_per_s"] == records[4]["samples_per_s"] == {"1": 1.0, "2": 2.0, "4": 2.0}
    assert json.loads(json.dumps(records)) == records


def test_slots_that_memory_took_away_stay_away_when_their_size_comes_back(
    tiny: BaseModel, works: Callable[..., Work]
) -> None:
    sizes = [64, 64, 32, 32, 64, 64]
    batch = [
        works(f"c{index}", max_steps=1, samples_per_step=1, resolution_px=size) for index, size in enumerate(sizes)
    ]
    cramped = SmallModel(tiny, 1)
    learned = learn(cramped, batch, num_slots=2)  # type: ignore[arg-type]
    assert len(learned.concepts) == len(sizes)
    assert cramped.num_refusals == 2, "once for each size"


def test_a_size_of_which_no_slot_fits_ends_its_own_concepts_alone(
    tiny: BaseModel, works: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    def rate(_: BaseModel, num_slots: int, resolution_px: int) -> float:
        if resolution_px == 64:
            raise torch.OutOfMemoryError("no")
        return float(num_slots)

    monkeypatch.setattr(capacity, "samples_per_second", rate)
    batch = [works("large"), works("small", max_steps=1, resolution_px=32)]
    learned = learn(SmallModel(tiny, 99), batch)  # type: ignore[arg-type]
    assert isinstance(learned.errors["large"], OutOfMemoryError)
    assert list(learned.concepts) == ["small"]
