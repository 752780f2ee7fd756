"""What the engine counts is what its description says."""

import time

import pytest

from textinv.errors import DeadlineError
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel


def test_steps_are_lost_to_callers_who_left_and_not_to_deadlines_nor_to_a_request_that_failed(
    model: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(model, max_batch=8)
    late = engine.submit(GenerateRequest("a red apple", num_inference_steps=9, num_images=2, deadline_s=60.0))
    leaver = engine.submit(GenerateRequest("a frog", num_inference_steps=9))
    for _ in range(2):
        engine.step()
    assert engine.stats.active == 3
    leaver.cancel()
    a_minute_later = time.monotonic() + 60.0
    monkeypatch.setattr(time, "monotonic", lambda: a_minute_later)
    engine.step()
    with pytest.raises(DeadlineError):
        late.result(0)
    assert engine.stats.active == 0
    assert engine.stats.tally.cancelled_steps == 2
