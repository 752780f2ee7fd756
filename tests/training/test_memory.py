"""Running out of memory halves the slots, and nothing that was learned is lost."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from textinv.errors import OutOfMemoryError
from textinv.models.base import BaseModel, Conditioning
from textinv.training import Work
from textinv.training.capacity import choose_num_slots, knee, past_knee
from textinv.training.local import learn


class SmallModel:
    """A base model on a device that holds at most `max_samples` at once."""

    def __init__(self, model: BaseModel, max_samples: int) -> None:
        self._model = model
        self._max_samples = max_samples

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning, **extras: Any) -> Tensor:
        """Predict, if it fits."""
        if torch.is_grad_enabled() and len(noisy_BCHW) > self._max_samples:
            raise torch.OutOfMemoryError(f"{len(noisy_BCHW)} samples do not fit")
        return self._model.predict(noisy_BCHW, timesteps_B, conditioning, **extras)


@pytest.mark.parametrize("slots_that_fit", [1, 2])
def test_out_of_memory_halves_the_slots_and_every_concept_is_learned(
    model: BaseModel, works: Callable[..., Work], slots_that_fit: int
) -> None:
    batch = [works(f"c{index}", seed=index, max_steps=4, samples_per_step=2) for index in range(4)]
    roomy = learn(model, batch, num_slots=4)
    cramped = learn(SmallModel(model, 2 * slots_that_fit), batch, num_slots=4)  # type: ignore[arg-type]
    assert sorted(cramped.concepts) == ["c0", "c1", "c2", "c3"]
    for name, concept in cramped.concepts.items():
        rows, expected = (run.concepts[name].embedding.rows["text_encoder"] for run in (cramped, roomy))
        assert torch.allclose(rows, expected, rtol=1e-3, atol=1e-5)
        assert concept.record["steps"] == 4
    assert cramped.records["c3"]["num_slots"] == slots_that_fit


def test_a_single_slot_that_does_not_fit_is_a_typed_error(model: BaseModel, works: Callable[..., Work]) -> None:
    learned = learn(SmallModel(model, 2), [works("large", samples_per_step=4)], num_slots=2)  # type: ignore[arg-type]
    assert isinstance(learned.errors["large"], OutOfMemoryError)
    assert learned.records["large"]["error"]["code"] == "out_of_memory"


def test_the_knee_is_the_smallest_pack_near_the_best_throughput() -> None:
    measured = [(1, 10.0), (2, 19.0), (4, 30.0), (8, 33.0), (16, 33.5)]
    assert knee(measured) == 8
    assert [past_knee(measured[:count]) for count in range(1, 6)] == [False, False, False, False, True]


def test_slots_are_measured_until_memory_or_throughput_end(model: BaseModel) -> None:
    capacity = choose_num_slots(SmallModel(model, 8), "auto")  # type: ignore[arg-type]
    assert 1 <= capacity.num_slots <= 2
    assert all(rate > 0 for _, rate in capacity.samples_per_s)
    assert choose_num_slots(model, 3).num_slots == 3
