"""What the engine counts is what its description says."""

import time

import pytest

from textinv.errors import DeadlineError
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models import load_base_model


def test_steps_are_lost_to_callers_who_left_and_not_to_deadlines_nor_to_a_request_that_failed() -> None:
    engine = Engine(load_base_model("emoji", device="cpu", dtype="float32"), max_batch=8)
    late = engine.submit(GenerateRequest("a red apple", num_inference_steps=9, num_images=2, deadline_s=3.0))
    leaver = engine.submit(GenerateRequest("a frog", num_inference_steps=9))
    for _ in range(2):
        engine.step()
    assert engine.stats.active == 3
    leaver.cancel()
    time.sleep(3.0)
    engine.step()
    with pytest.raises(DeadlineError):
        late.result(0)
    assert engine.stats.active == 0
    assert engine.stats.tally.cancelled_steps == 2
