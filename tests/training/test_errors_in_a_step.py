"""An error in a step or a look that is not lack of memory ends the concept that it belongs to, and no other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from textinv.errors import TrainingError
from textinv.models.base import BaseModel, Conditioning
from textinv.training import Work
from textinv.training.train import learn

EARLY, LATE = (0, 100), (900, 1000)


class Touchy:
    """A base model that fails on noise beyond a timestep, in steps or in looks."""

    def __init__(self, model: BaseModel, *, in_steps: bool, most: int = 500, says: str = "index out of range") -> None:
        self._model, self._in_steps, self._most, self._says = model, in_steps, most, says

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        if torch.is_grad_enabled() == self._in_steps and bool((timesteps_B > self._most).any()):
            raise RuntimeError(self._says)
        return self._model.predict(noisy_BCHW, timesteps_B, conditioning)


def batch_of(works: Callable[..., Work]) -> list[Work]:
    small: dict[str, Any] = {"max_steps": 3, "resolution_px": 32}
    return [
        works("one", timesteps=EARLY, **small),
        works("touchy", "teal", timesteps=LATE, seed=5, **small),
        works("two", "yellow", timesteps=EARLY, seed=7, **small),
    ]


def test_an_error_in_a_step_ends_the_concept_that_it_belongs_to(tiny: BaseModel, works: Callable[..., Work]) -> None:
    whole = learn(tiny, batch_of(works), num_slots=3)
    learned = learn(Touchy(tiny, in_steps=True), batch_of(works), num_slots=3)  # type: ignore[arg-type]
    assert set(learned.concepts) == {"one", "two"}
    assert isinstance(learned.errors["touchy"], TrainingError)
    assert "index out of range" in learned.errors["touchy"].message
    for name in ("one", "two"):
        found, expected = (one.concepts[name].embedding.rows["text_encoder"] for one in (learned, whole))
        assert torch.allclose(found, expected, rtol=1e-4, atol=1e-6), name
        assert learned.concepts[name].record["steps"] == 3


def test_an_error_of_the_device_or_of_every_concept_ends_the_worker(
    tiny: BaseModel, works: Callable[..., Work]
) -> None:
    failed = Touchy(tiny, in_steps=True, says="CUDA error: an illegal memory access was encountered")
    with pytest.raises(RuntimeError, match="illegal memory access"):
        learn(failed, batch_of(works), num_slots=3)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="index out of range"):
        learn(Touchy(tiny, in_steps=True, most=-1), batch_of(works), num_slots=3)  # type: ignore[arg-type]
