"""An empty negative prompt on SDXL: no text at all where the base says so, as in diffusers, and else the text ""."""

import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.generation import GenerateRequest, generate
from textinv.models import load_base_model


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base("sdxl", tmp_path_factory.mktemp("bases") / "sdxl")


def _say(folder: Path, zeros: bool) -> None:
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"force_zeros_for_empty_prompt": zeros}))


def _theirs(folder: Path, negative_prompt: str | None) -> np.ndarray:
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    drawn = pipeline(
        "a red fox on grass",
        negative_prompt=negative_prompt,
        num_inference_steps=4,
        guidance_scale=6.0,
        generator=torch.Generator().manual_seed(5),
    )
    return np.asarray(drawn.images[0]).astype(int)


def _ours(folder: Path, negative_prompt: str = "") -> np.ndarray:
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    request = GenerateRequest(
        "a red fox on grass", negative_prompt, num_inference_steps=4, guidance_scale=6.0, seed=5, noise_scheduler="ddim"
    )
    return generate(model, request)[0].pixels.astype(int)


@pytest.mark.parametrize("zeros", [True, False])
def test_nothing_said_against_a_picture_is_what_diffusers_takes_it_for(sdxl: Path, zeros: bool) -> None:
    _say(sdxl, zeros)
    assert np.abs(_ours(sdxl) - _theirs(sdxl, None)).max() <= 1


def test_it_makes_a_difference_which_of_both_an_empty_negative_prompt_is(sdxl: Path) -> None:
    _say(sdxl, True)
    zeroed = _ours(sdxl)
    _say(sdxl, False)
    assert np.abs(_ours(sdxl) - zeroed).max() > 1


def test_words_in_the_negative_prompt_are_heard_by_a_base_that_zeros_empty_ones(sdxl: Path) -> None:
    _say(sdxl, True)
    assert np.abs(_ours(sdxl, "blue cup") - _theirs(sdxl, "blue cup")).max() <= 1
