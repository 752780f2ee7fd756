"""Every noise scheduler, asked for any number of steps, takes them or says which field to change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from textinv.errors import RequestError
from textinv.generation.engine import Engine
from textinv.generation.request import MAX_STEPS, GenerateRequest
from textinv.models import BaseModel
from textinv.models.process import (
    SCHEDULER_KINDS,
    Diffusion,
    SchedulerKind,
)

NUMBERS = (1, 2, 3, 7, 25, 50, 51, 100, MAX_STEPS)
PLAIN = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
CONFIGS = {
    "guesses noise": PLAIN | {"clip_sample": False, "steps_offset": 1},
    "guesses velocity": PLAIN | {"prediction_type": "v_prediction", "timestep_spacing": "trailing"},
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("kind", SCHEDULER_KINDS, ids=lambda kind: kind.name)
def test_any_number_of_steps_is_taken_or_refused_by_name(kind: SchedulerKind, config: dict[str, object]) -> None:
    process = Diffusion(config, torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    refused: dict[int, RequestError] = {}
    for number in NUMBERS:
        try:
            sampler = process.sampler(kind, number)
        except RequestError as error:
            refused[number] = error
            continue
        latents = sampler.first(torch.randn(1, 4, 2, 2, generator=generator))
        for time in sampler.times:
            latents = sampler.step(sampler.scaled(latents, time).tanh(), time, latents, generator)
        assert torch.isfinite(latents).all()
    assert set(refused) <= {51, 100, MAX_STEPS}
    assert {error.details["param"] for error in refused.values()} <= {"num_inference_steps"}


def test_more_steps_than_a_noise_scheduler_takes_are_refused_before_anything_waits(model: BaseModel) -> None:
    engine = Engine(model, max_batch=1)
    drawn = GenerateRequest("a frog", noise_scheduler="lcm", num_inference_steps=MAX_STEPS)
    for request in (drawn, replace(drawn, init_image=np.zeros((64, 64, 3), np.uint8))):
        with pytest.raises(RequestError, match=r"'lcm' cannot do 150 steps") as caught:
            engine.submit(request)
        assert caught.value.details["param"] == "num_inference_steps"
    assert engine.stats.waiting == 0


def test_a_noise_scheduler_that_the_base_model_rules_out_is_refused_by_name() -> None:
    (kind,) = (kind for kind in SCHEDULER_KINDS if kind.name == "euler-karras")
    with pytest.raises(RequestError, match="euler-karras") as caught:
        Diffusion(PLAIN | {"use_exponential_sigmas": True}, torch.device("cpu")).sampler(kind, 5)
    assert caught.value.details["param"] == "noise_scheduler"
