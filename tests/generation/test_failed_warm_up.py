"""An error before the first step fails what waits for it, and nobody waits for ever."""

from typing import Any

import pytest
from torch import Tensor

from textinv.errors import DeadlineError, ServiceError
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel, Conditioning


class Failing:
    """A base model that fails as long as it is told to."""

    def __init__(self, model: BaseModel) -> None:
        self._model, self.fails = model, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, noisy_BCHW: Tensor, timesteps_B: Tensor, conditioning: Conditioning) -> Tensor:
        if self.fails:
            raise RuntimeError("the device is in use")
        return self._model.predict(noisy_BCHW, timesteps_B, conditioning)


def test_a_warm_up_that_fails_fails_what_waits_and_the_next_request_tries_again(emoji: BaseModel) -> None:
    model = Failing(emoji)
    engine = Engine(model, max_batch=2)  # type: ignore[arg-type]
    request = GenerateRequest("a frog", num_inference_steps=1, num_images=2)
    ticket = engine.submit(request)
    assert engine.step() is False
    with pytest.raises(ServiceError):
        ticket.result(timeout=0)
    assert engine.outlook()[0] == 0
    model.fails = False
    ticket = engine.submit(request)
    engine.run_until_idle()
    assert len(ticket.result(timeout=0)) == 2


def test_a_deadline_that_passes_while_nothing_can_be_drawn_is_seen(emoji: BaseModel) -> None:
    engine = Engine(Failing(emoji))  # type: ignore[arg-type]
    ticket = engine.submit(GenerateRequest("a frog", num_inference_steps=1, deadline_s=0.01))
    engine.step()
    with pytest.raises((DeadlineError, ServiceError)):
        ticket.result(timeout=0)
