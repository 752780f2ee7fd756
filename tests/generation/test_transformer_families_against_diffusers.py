"""Transformer families draw what diffusers' own pipelines draw: same seed, same rows, alone and in any batch."""

from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.fixtures.heavy import heavy
from tests.models.transformer_bases import CALLED, ENCODERS, SIDE, WORD, make_transformer_base, table_of
from textinv.embedding import Embedding
from textinv.errors import PromptError, RequestError
from textinv.generation import Engine
from textinv.generation.draw import generate, generate_all
from textinv.generation.request import GenerateRequest
from textinv.models import BaseModel, load_base_model
from textinv.models.process import find_scheduler_kind
from textinv.placeholders import ConceptRef

THING = ConceptRef("thing")
GUIDANCE = 12.0
"""So much that a word's rows show in a random network's picture."""


@pytest.fixture(scope="module", params=["sd3", "flux-dev", *heavy(["pixart", "sana", "flux-schnell", "z-image"])])
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_transformer_base(family, tmp_path_factory.mktemp(family) / "base", loud=True)


@pytest.fixture(scope="module")
def model(folder: Path) -> BaseModel:
    return load_base_model(str(folder), device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def pipeline(folder: Path) -> Any:
    found = diffusers.DiffusionPipeline.from_pretrained(folder)
    found.set_progress_bar_config(disable=True)
    return found


def _rows(model: BaseModel, seed: int, count: int = 1) -> Embedding:
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, width in model.encoder_widths.items():
        scale = model.vocabulary(name).float().std()
        made[name] = 3 * scale * torch.randn(count, width, generator=generator)
    return Embedding(made)


def _asked(family: str, prompt: str = "a photo of <thing> on grass", **said: Any) -> GenerateRequest:
    fields: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": GUIDANCE, "seed": 3} | said
    return GenerateRequest(prompt, height_px=SIDE[family], width_px=SIDE[family], **fields)


def _ours(model: BaseModel, family: str, embedding: Embedding, **said: Any) -> np.ndarray:
    return generate(model, _asked(family, **said), {THING: embedding})[0].pixels


def _theirs(pipeline: Any, family: str, embedding: Embedding, scheduler: Any = None, **said: Any) -> np.ndarray:
    """The word means the rows for the length of the call."""
    kept = []
    for name, (encoder, tokenizer) in ENCODERS[family].items():
        weight = table_of(getattr(pipeline, encoder)).data
        ids = getattr(pipeline, tokenizer)(f" {WORD}", add_special_tokens=False).input_ids
        assert len(ids) == 1
        kept.append((weight, ids, weight[ids].clone()))
        weight[ids] = embedding.rows[name]
    configured, pipeline.scheduler = pipeline.scheduler, scheduler or pipeline.scheduler
    fields: dict[str, Any] = {"num_inference_steps": 4, "guidance_scale": GUIDANCE} | CALLED[family] | said
    side = SIDE[family]
    try:
        drawn = pipeline(
            f"a photo of {WORD} on grass", height=side, width=side, generator=torch.Generator().manual_seed(3), **fields
        )
    finally:
        pipeline.scheduler = configured
        for weight, ids, before in kept:
            weight[ids] = before
    return np.asarray(drawn.images[0])


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("family", CALLED, indirect=True)
def test_a_family_draws_a_concept_as_diffusers_does(model: BaseModel, family: str, pipeline: Any) -> None:
    one, other = _rows(model, 1), _rows(model, 2)
    ours = _ours(model, family, one)
    assert _differ(ours, _theirs(pipeline, family, one)) <= 1
    assert _differ(ours, _ours(model, family, other)) >= 10


def test_each_encoder_that_learns_is_heard(model: BaseModel, family: str) -> None:
    one, other = _rows(model, 1), _rows(model, 2)
    ours = _ours(model, family, one)
    for name in model.encoder_names:
        mixed = Embedding({**one.rows, name: other.rows[name]})
        assert _differ(ours, _ours(model, family, mixed)) >= 2, name


def test_in_a_mixed_batch_every_picture_is_the_one_that_is_drawn_alone(model: BaseModel, family: str) -> None:
    asked = [
        (_asked(family), {THING: _rows(model, 1)}),
        (_asked(family, "<thing> in snow", seed=8, num_inference_steps=3), {THING: _rows(model, 2, 2)}),
        (_asked(family, "a red cup", guidance_scale=1.0), {}),
        (_asked(family, "a (red:1.3) <thing>", attention_weights=True, guidance_scale=3.0), {THING: _rows(model, 3)}),
    ]
    together = generate_all(model, asked)
    for (request, mounts), (drawn,) in zip(asked, together, strict=True):
        assert _differ(drawn.pixels, generate(model, request, mounts)[0].pixels) <= 1


def test_other_noise_schedulers_that_a_family_steps_with(model: BaseModel, family: str) -> None:
    drawn = {}
    for name in ("euler", "heun", "dpmpp-2m"):
        drawn[name] = _ours(model, family, _rows(model, 1), noise_scheduler=name, num_inference_steps=20)
    for name, pixels in drawn.items():
        # All of them walk along the same path.
        assert np.abs(pixels.astype(int) - drawn["euler"]).mean() < 12, name


def test_an_edit_keeps_what_its_mask_protects(model: BaseModel, family: str) -> None:
    side = SIDE[family]
    picture = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)
    mask = np.zeros((side, side), np.uint8)
    mask[:, side // 2 :] = 255
    pixels = _ours(model, family, _rows(model, 1), init_image=picture, mask=mask, strength=0.75)
    assert np.array_equal(pixels[:, : side // 2], picture[:, : side // 2])
    assert not np.array_equal(pixels, picture)


def test_a_preview_of_every_step_comes_before_the_picture(model: BaseModel, family: str) -> None:
    engine, seen = Engine(model, max_batch=1), []
    ticket = engine.submit(_asked(family, preview_every=1), {THING: _rows(model, 1)})
    ticket.on_preview(seen.append)
    engine.run_until_idle()
    assert len(ticket.result(0)) == 1
    assert [preview.pixels.shape for preview in seen] == [(SIDE[family], SIDE[family], 3)] * 3


def test_what_a_family_cannot_read_or_draw_is_refused(model: BaseModel, family: str) -> None:
    with pytest.raises(PromptError, match="windows"):
        generate(model, _asked(family, "apple " * 600))
    if model.process.predicts == "flow_prediction":
        with pytest.raises(RequestError, match="does not work with a flow-matching base model") as caught:
            generate(model, _asked(family, "apple", noise_scheduler="euler-a"))
        assert caught.value.details["param"] == "noise_scheduler"
    if model.guides != "rows":
        with pytest.raises(RequestError, match="no negative prompt"):
            generate(model, _asked(family, "apple", negative_prompt="a cup"))


def test_dpm_solver_steps_along_a_flow_as_diffusers_does(model: BaseModel, family: str, pipeline: Any) -> None:
    config = pipeline.scheduler.config
    if model.process.predicts != "flow_prediction" or family.startswith(("flux", "z-image")):
        pytest.skip("the pipeline cannot be called with it")
    shift = config.get("flow_shift") or config.shift
    flow: dict[str, Any] = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": shift}
    solver = diffusers.DPMSolverMultistepScheduler(**flow)
    rows, kind = _rows(model, 1), find_scheduler_kind("dpmpp-2m")
    assert _differ(_ours(model, family, rows, noise_scheduler=kind.name), _theirs(pipeline, family, rows, solver)) <= 1
