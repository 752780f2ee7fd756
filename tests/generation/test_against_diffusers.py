"""Our pictures are diffusers' pictures: same seed, same noise scheduler, same embedding file."""

import json
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from tests.fixtures.heavy import heavy
from textinv.demo import WEIGHTS
from textinv.embedding import Embedding, export_embedding
from textinv.generation.draw import generate
from textinv.generation.request import GenerateRequest
from textinv.models import BaseModel
from textinv.models.process import SCHEDULER_KINDS, SchedulerKind, find_scheduler_kind
from textinv.placeholders import ConceptRef

STEPS = 6
EDITING = ("ddim", "heun", "plms", "euler-a", "dpmpp-2m-sde")
"""One of each way to step; what they differ in besides is drawn from the first step on."""
BASE_SCHEDULER = json.loads((WEIGHTS / "scheduler" / "scheduler_config.json").read_text())


@pytest.fixture(scope="module")
def pipeline(model: BaseModel) -> Any:
    return _load_pipeline(model)


@pytest.fixture(scope="module")
def frog(model: BaseModel) -> np.ndarray:
    """A picture to edit."""
    return _ours(model, "a green frog", seed=1)


def _load_pipeline(model: BaseModel) -> Any:
    return _without_bar(diffusers.StableDiffusionPipeline.from_pretrained(model.folder, torch_dtype=torch.float32))


def _without_bar(pipeline: Any) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _theirs(pipeline: Any, prompt: str, seed: int, **fields: object) -> np.ndarray:
    call = {"num_inference_steps": STEPS, "guidance_scale": 4.0, "negative_prompt": "blue", **fields}
    return np.asarray(pipeline(prompt, generator=torch.Generator().manual_seed(seed), **call).images[0])


def _ours(model: BaseModel, prompt: str, seed: int, mounts: Any = None, **fields: object) -> np.ndarray:
    request = GenerateRequest(
        prompt,
        negative_prompt="blue",
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        seed=seed,
        **fields,  # type: ignore[arg-type]
    )
    return generate(model, request, mounts)[0].pixels


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def _right_half() -> np.ndarray:
    mask = np.zeros((64, 64), np.uint8)
    mask[:, 32:] = 255
    return mask


@pytest.mark.parametrize("kind", SCHEDULER_KINDS, ids=lambda kind: kind.name)
def test_the_same_seed_draws_the_picture_that_diffusers_draws(
    model: BaseModel, pipeline: Any, kind: SchedulerKind
) -> None:
    pipeline.scheduler = getattr(diffusers, kind.diffusers_class).from_config(BASE_SCHEDULER, **kind.options)
    theirs = _theirs(pipeline, "a red apple", seed=11)
    assert _differ(_ours(model, "a red apple", seed=11, noise_scheduler=kind.name), theirs) <= 1


def test_the_shipped_base_draws_what_diffusers_draws_with_it(emoji: BaseModel) -> None:
    kind, pipeline = SCHEDULER_KINDS[0], _load_pipeline(emoji)
    pipeline.scheduler = getattr(diffusers, kind.diffusers_class).from_config(BASE_SCHEDULER, **kind.options)
    theirs = _theirs(pipeline, "a teal fox on a yellow background", seed=11)
    ours = _ours(emoji, "a teal fox on a yellow background", seed=11, noise_scheduler=kind.name)
    assert _differ(ours, theirs) <= 1
    assert theirs.std() > 30


@pytest.mark.parametrize("num_vectors", [1, 3])
def test_an_exported_embedding_draws_the_same_in_diffusers(model: BaseModel, tmp_path: Path, num_vectors: int) -> None:
    pipeline = _load_pipeline(model)  # loading an embedding changes it
    rows = torch.randn(num_vectors, 192, generator=torch.Generator().manual_seed(4))
    rows *= model.vocabulary("text_encoder").norm(dim=1).mean() / rows.norm(dim=1, keepdim=True)
    embedding = Embedding({"text_encoder": rows})
    (path,) = export_embedding(embedding, "odd-thing", "diffusers", tmp_path)
    pipeline.load_textual_inversion(str(path), token="<odd-thing>")
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(BASE_SCHEDULER)
    prompt = "a <odd-thing> on grass"
    theirs = _theirs(pipeline, prompt, seed=2)
    mounts = {ConceptRef("odd-thing"): embedding}
    assert _differ(_ours(model, prompt, seed=2, mounts=mounts, noise_scheduler="ddim"), theirs) <= 1
    assert _differ(theirs, _theirs(pipeline, "a on grass", seed=2)) > 1


@pytest.mark.parametrize("name", [*EDITING, *heavy(kind.name for kind in SCHEDULER_KINDS if kind.name not in EDITING)])
def test_img2img_is_diffusers_img2img(model: BaseModel, pipeline: Any, frog: np.ndarray, name: str) -> None:
    kind = find_scheduler_kind(name)
    edit = _without_bar(diffusers.StableDiffusionImg2ImgPipeline(**pipeline.components, requires_safety_checker=False))
    edit.scheduler = getattr(diffusers, kind.diffusers_class).from_config(BASE_SCHEDULER, **kind.options)
    theirs = _theirs(edit, "a red apple", seed=3, image=Image.fromarray(frog), strength=0.7)
    ours = _ours(model, "a red apple", seed=3, init_image=frog, strength=0.7, noise_scheduler=kind.name)
    assert _differ(ours, theirs) <= 1


def test_a_masked_edit_is_diffusers_inpainting(model: BaseModel, pipeline: Any, frog: np.ndarray) -> None:
    mask = _right_half()
    edit = _without_bar(diffusers.StableDiffusionInpaintPipeline(**pipeline.components, requires_safety_checker=False))
    edit.scheduler = diffusers.DDIMScheduler.from_config(BASE_SCHEDULER)
    fields = {"image": Image.fromarray(frog), "mask_image": Image.fromarray(mask), "strength": 0.7}
    theirs = _theirs(edit, "a red apple", seed=3, width=64, height=64, **fields)
    ours = _ours(model, "a red apple", seed=3, init_image=frog, mask=mask, strength=0.7, noise_scheduler="ddim")
    assert _differ(ours[:, 32:], theirs[:, 32:]) <= 1


def test_a_masked_edit_changes_what_the_mask_lets_and_nothing_else(model: BaseModel, frog: np.ndarray) -> None:
    edited = _ours(model, "a red apple", seed=3, init_image=frog, mask=_right_half(), strength=1.0)
    assert _differ(edited[:, :32], frog[:, :32]) == 0
    assert _differ(edited[:, 32:], frog[:, 32:]) > 30
