"""A base model says how it draws where a request does not: its family, its folder, or whoever names it."""

import inspect
import json
from pathlib import Path

import diffusers
import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.demo import WEIGHTS
from textinv.errors import BaseModelError
from textinv.generation import GenerateRequest
from textinv.generation.draw import generate
from textinv.models import load_base_model
from textinv.models.families import known_families

PIPELINES = {
    "sd1": diffusers.StableDiffusionPipeline,
    "sd2": diffusers.StableDiffusionPipeline,
    "sdxl": diffusers.StableDiffusionXLPipeline,
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_family_draws_as_its_diffusers_pipeline_does(name: str) -> None:
    (draws,) = (family.draws for family in known_families() if family.family == name)
    parameters = inspect.signature(PIPELINES[name].__call__).parameters
    assert draws.guidance_scale == parameters["guidance_scale"].default
    assert draws.num_inference_steps == parameters["num_inference_steps"].default


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base("sdxl", tmp_path_factory.mktemp("base"))


def test_the_noise_scheduler_is_the_one_that_the_folder_ships(folder: Path) -> None:
    config = folder / "scheduler" / "scheduler_config.json"
    before = config.read_text()
    names = {}
    for shipped in ("EulerDiscreteScheduler", "PNDMScheduler", "DDIMScheduler"):
        index = json.loads((folder / "model_index.json").read_text())
        (folder / "model_index.json").write_text(json.dumps(index | {"scheduler": ["diffusers", shipped]}))
        config.write_text(json.dumps(json.loads(before) | {"_class_name": shipped}))
        names[shipped] = load_base_model(str(folder), device="cpu").drawing.noise_scheduler
    assert list(names.values()) == ["euler", "plms", "ddim"]


def test_a_folder_and_whoever_names_it_override_the_family(folder: Path) -> None:
    (folder / "drawing.json").write_text(json.dumps({"guidance_scale": 3, "noise_scheduler": "Euler a"}))
    try:
        own = load_base_model(str(folder), device="cpu").drawing
        assert (own.guidance_scale, own.num_inference_steps, own.noise_scheduler) == (3, 50, "euler-a")
        named = f"{folder}?guidance_scale=2.5&num_inference_steps=8&noise_scheduler=lcm"
        aliased = load_base_model("mine", device="cpu", aliases={"mine": named}).drawing
        assert (aliased.guidance_scale, aliased.num_inference_steps, aliased.noise_scheduler) == (2.5, 8, "lcm")
        for wrong in ("guidance_scale=much", "num_inference_steps=0", "noise_scheduler=magic"):
            with pytest.raises(BaseModelError, match=wrong.partition("=")[2]):
                load_base_model(f"{folder}?{wrong}", device="cpu")
    finally:
        (folder / "drawing.json").unlink()


def test_a_request_that_leaves_them_out_is_drawn_with_the_base_models_and_says_so(folder: Path) -> None:
    torch.set_num_threads(1)
    model = load_base_model(f"{folder}?guidance_scale=2&num_inference_steps=3&noise_scheduler=euler", device="cpu")
    (silent,) = generate(model, GenerateRequest("a cup"))
    stated = GenerateRequest("a cup", guidance_scale=2, num_inference_steps=3, noise_scheduler="euler")
    (spoken,) = generate(model, stated)
    assert (silent.pixels == spoken.pixels).all()
    assert "Steps: 3, Sampler: Euler, CFG scale: 2" in silent.infotext


def test_the_demo_base_draws_as_it_always_did() -> None:
    drawing = load_base_model(str(WEIGHTS), device="cpu").drawing
    assert (drawing.guidance_scale, drawing.num_inference_steps, drawing.noise_scheduler) == (4.0, 25, "dpmpp-2m")


def test_a_file_of_drawing_defaults_that_says_something_else_is_refused(folder: Path) -> None:
    file = folder / "drawing.json"
    try:
        file.write_text(json.dumps({"guidance": 3}))
        with pytest.raises(BaseModelError, match=r"says 'guidance'; known are guidance_scale, num_inference_steps, "):
            load_base_model(str(folder), device="cpu")
        file.write_text("{guidance_scale: 3}")
        with pytest.raises(BaseModelError, match=r"drawing\.json is not JSON: .*; get the file again"):
            load_base_model(str(folder), device="cpu")
    finally:
        file.unlink()
