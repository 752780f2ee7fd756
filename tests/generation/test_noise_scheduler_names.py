"""Noise schedulers by name."""

import pytest
import torch
from torch import Tensor

from textinv.errors import RequestError
from textinv.models.process import (
    SCHEDULER_KINDS,
    Diffusion,
    SchedulerKind,
    find_scheduler_kind,
)

CONFIG = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "steps_offset": 1,
    "num_train_timesteps": 1000,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        (None, "dpmpp-2m"),
        ("Euler a", "euler-a"),
        ("DPM++ 2M", "dpmpp-2m"),
        ("dpm++ 2m karras", "dpmpp-2m-karras"),
        ("UniPC", "unipc"),
        ("k_euler_a", "euler-a"),
        ("EulerDiscreteScheduler", "euler"),
        ("DDIM", "ddim"),
    ],
)
def test_a_noise_scheduler_answers_to_its_spellings(spelling: str | None, name: str) -> None:
    assert find_scheduler_kind(spelling).name == name


def test_a_schedule_type_chooses_the_variant() -> None:
    assert find_scheduler_kind("DPM++ 2M", "Karras").name == "dpmpp-2m-karras"
    assert find_scheduler_kind("DPM++ 2M", "Automatic").name == "dpmpp-2m"


def test_an_unknown_noise_scheduler_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(RequestError, match=r"'Euler z'.*dpmpp-2m") as caught:
        find_scheduler_kind("Euler z")
    assert caught.value.details["param"] == "noise_scheduler"


def _run(kind: SchedulerKind, interleave: bool) -> Tensor:
    """Step one picture's sampler through all timesteps, with a stranger's instance stepped in between or not."""
    process = Diffusion(CONFIG, torch.device("cpu"))
    mine, other = process.sampler(kind, 6), process.sampler(kind, 6)
    generator, stranger = torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)
    latents, theirs = torch.randn(1, 4, 4, 4, generator=generator), torch.randn(1, 4, 4, 4, generator=stranger)
    for time in mine.times:
        if interleave:
            other.scaled(theirs, time)
            theirs = other.step(theirs.tanh(), time, theirs, stranger)
        latents = mine.step(mine.scaled(latents, time).tanh(), time, latents, generator)
    return latents


@pytest.mark.parametrize("kind", SCHEDULER_KINDS, ids=lambda kind: kind.name)
def test_instances_of_a_noise_scheduler_share_no_state(kind: SchedulerKind) -> None:
    alone = _run(kind, interleave=False)
    assert torch.isfinite(alone).all()
    assert torch.equal(alone, _run(kind, interleave=True))
