"""Every family draws what diffusers' own pipeline draws: same seed, same rows, each noise scheduler."""

import json
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.fixtures.heavy import heavy
from tests.models.tiny_bases import make_base
from textinv.embedding import Embedding
from textinv.errors import RequestError
from textinv.generation.draw import generate, generate_all
from textinv.generation.request import GenerateRequest
from textinv.generation.told_sizes import ToldSizes
from textinv.models import BaseModel, load_base_model
from textinv.models.process import SCHEDULER_KINDS, SchedulerKind, find_scheduler_kind
from textinv.placeholders import ConceptRef

ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
BASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "sd1": ("sd1", "epsilon", {}),
    "sd2": ("sd2", "epsilon", {}),
    "sd2-v": ("sd2", "v_prediction", {}),
    "sd2-v-zero": ("sd2", "v_prediction", ZERO_SNR),
    "sdxl": ("sdxl", "epsilon", {}),
    "sdxl-v-zero": ("sdxl", "v_prediction", ZERO_SNR),
    "ldm": ("ldm", "epsilon", {}),
}
THING = ConceptRef("thing")
DDIM = find_scheduler_kind("ddim")
TO_ZERO = ("ddim", "euler", "euler-a", "dpmpp-2m", "unipc")
"""One of each way to step."""
SIZES: dict[str, Any] = {"original_size": (96, 160), "crop_top_left": (24, 0), "target_size": (64, 48)}
Loaded = tuple[BaseModel, Any]
GUIDANCE = 20.0
"""So much that a word's rows show in a random network's picture."""


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Loaded]:
    """A tiny base by its name above, loaded by us and by diffusers."""
    root = tmp_path_factory.mktemp("beside")
    found: dict[str, Loaded] = {}

    def load(name: str) -> Loaded:
        if name not in found:
            family, predicts, changes = BASES[name]
            folder = make_base(family, root / name, predicts)
            config = folder / "scheduler" / "scheduler_config.json"
            config.write_text(json.dumps(json.loads(config.read_text()) | changes))
            pipeline = diffusers.DiffusionPipeline.from_pretrained(folder)
            pipeline.set_progress_bar_config(disable=True)
            if hasattr(pipeline, "text_encoder") and not hasattr(pipeline.text_encoder, "text_model"):
                # diffusers asks for the last norm where transformers 4 had it.
                object.__setattr__(pipeline.text_encoder, "text_model", pipeline.text_encoder)
            found[name] = load_base_model(str(folder), device="cpu", dtype="float32"), pipeline
        return found[name]

    return load


def _rows(model: BaseModel, count: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, width, generator=generator) for name, width in model.encoder_widths.items()}


def _asked(kind: SchedulerKind = DDIM, rescale: float = 0.0, **said: Any) -> GenerateRequest:
    return GenerateRequest(
        "a photo of <thing>",
        num_inference_steps=4,
        guidance_scale=GUIDANCE,
        guidance_rescale=rescale,
        seed=3,
        noise_scheduler=kind.name,
        **said,
    )


def _ours(
    model: BaseModel, rows: dict[str, torch.Tensor], kind: SchedulerKind = DDIM, rescale: float = 0.0, **said: Any
) -> np.ndarray:
    return generate(model, _asked(kind, rescale, **said), {THING: Embedding(rows)})[0].pixels


def _theirs(
    pipeline: Any, rows: dict[str, torch.Tensor], kind: SchedulerKind = DDIM, rescale: float = 0.0, **said: Any
) -> np.ndarray:
    """The word `fox` means the rows for the length of the call."""
    parts = {"text_encoder": "tokenizer", "text_encoder_2": "tokenizer_2"}
    kept = []
    for name, rows_ND in rows.items():
        network = getattr(pipeline, name, None) or pipeline.bert
        weight = (
            network.get_input_embeddings().weight.data
            if name == "text_encoder_2" or hasattr(pipeline, "text_encoder")
            else network.model.embed_tokens.weight.data
        )
        ids = getattr(pipeline, parts[name])("fox", add_special_tokens=False).input_ids
        kept.append((weight, ids, weight[ids].clone()))
        weight[ids] = rows_ND
    scheduler = getattr(diffusers, kind.diffusers_class).from_config(pipeline.scheduler.config, **kind.options)
    configured, pipeline.scheduler = pipeline.scheduler, scheduler
    extras = {"guidance_rescale": rescale, **said} if rescale else said
    if "clip_skip" in said:
        extras = said | _nothing_said(pipeline, said["clip_skip"])
    # LDM's pipeline counts 8 pixels for a latent, whatever its VAE makes of one: here 4.
    side = 32 if hasattr(pipeline, "text_encoder") else 64
    try:
        drawn = pipeline(
            "a photo of fox",
            num_inference_steps=4,
            guidance_scale=GUIDANCE,
            height=side,
            width=side,
            generator=torch.Generator().manual_seed(3),
            **extras,
        )
    finally:
        pipeline.scheduler = configured
        for weight, ids, before in kept:
            weight[ids] = before
    return np.asarray(drawn.images[0])


def _nothing_said(pipeline: Any, clip_skip: int) -> dict[str, torch.Tensor]:
    """The empty prompt as its encoder says it at this layer: left alone, diffusers skips layers of the prompt only, and
    A1111 of both."""
    encoded = pipeline.encode_prompt(
        "", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False, clip_skip=clip_skip
    )
    return {"negative_prompt_embeds": encoded[0]} | (
        {"negative_pooled_prompt_embeds": encoded[2]} if len(encoded) == 4 else {}
    )


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def _num_tokens(pipeline: Any) -> int:
    return len(pipeline.tokenizer("fox", add_special_tokens=False).input_ids)


@pytest.mark.parametrize("name", ["sd1", "sd2-v-zero", "sdxl", "ldm", *heavy(["sd2", "sd2-v", "sdxl-v-zero"])])
def test_a_family_draws_a_concept_as_diffusers_does(loaded: Callable[[str], Loaded], name: str) -> None:
    model, pipeline = loaded(name)
    rescale, kind = (0.7 if "zero" in name else 0.0), find_scheduler_kind("ddim")
    one, other = (_rows(model, _num_tokens(pipeline), seed) for seed in (1, 2))
    ours = _ours(model, one, kind, rescale)
    assert _differ(ours, _theirs(pipeline, one, kind, rescale)) <= 1
    assert _differ(ours, _ours(model, other, kind, rescale)) >= 10


@pytest.mark.parametrize(
    "name", [*TO_ZERO, *heavy(kind.name for kind in SCHEDULER_KINDS if kind.name not in (*TO_ZERO, "heun", "plms"))]
)
def test_zero_terminal_snr_is_drawn_as_diffusers_does(loaded: Callable[[str], Loaded], name: str) -> None:
    kind = find_scheduler_kind(name)
    model, pipeline = loaded("sd2-v-zero")
    rows = _rows(model, _num_tokens(pipeline), 1)
    ours = _ours(model, rows, kind, 0.7)
    assert _differ(ours, _theirs(pipeline, rows, kind, 0.7)) <= 1


@pytest.mark.parametrize("name", ["sd1", "sd2-v", "sdxl"])
def test_an_earlier_layer_is_read_as_diffusers_does(loaded: Callable[[str], Loaded], name: str) -> None:
    model, pipeline = loaded(name)
    rows = _rows(model, _num_tokens(pipeline), 1)
    ours = _ours(model, rows, clip_skip=2)
    assert _differ(ours, _theirs(pipeline, rows, clip_skip=1)) <= 1
    assert _differ(ours, _ours(model, rows, clip_skip=1)) >= 10
    assert _differ(_ours(model, rows), _ours(model, rows, clip_skip=1)) == 0


def test_sdxl_is_told_sizes_as_diffusers_does(loaded: Callable[[str], Loaded]) -> None:
    model, pipeline = loaded("sdxl")
    rows = _rows(model, _num_tokens(pipeline), 1)
    ours = _ours(model, rows, sizes=ToldSizes(**SIZES))
    crop: dict[str, Any] = {"crops_coords_top_left": SIZES["crop_top_left"]}
    theirs = _theirs(pipeline, rows, original_size=SIZES["original_size"], target_size=SIZES["target_size"], **crop)
    assert _differ(ours, theirs) <= 1
    assert _differ(ours, _ours(model, rows)) >= 10


def test_layers_and_sizes_of_neighbours_in_a_batch_do_not_mix(loaded: Callable[[str], Loaded]) -> None:
    model, pipeline = loaded("sdxl")
    mounts = {THING: Embedding(_rows(model, _num_tokens(pipeline), 1))}
    layers: list[dict[str, Any]] = [{}, {"clip_skip": 2}]
    sizes: list[dict[str, Any]] = [{}, {"sizes": ToldSizes(**SIZES)}]
    asked = [_asked(**layer, **said) for layer in layers for said in sizes]
    together = generate_all(model, [(request, mounts) for request in asked])
    for request, (drawn,) in zip(asked, together, strict=True):
        assert _differ(drawn.pixels, generate(model, request, mounts)[0].pixels) <= 1


@pytest.mark.parametrize(
    ("name", "said", "param", "problem"),
    [
        ("sd1", {"clip_skip": 4}, "clip_skip", "takes 1 to 3"),
        ("sdxl", {"clip_skip": 3}, "clip_skip", "takes 1 to 2"),
        ("ldm", {"clip_skip": 2}, "clip_skip", "takes 1 to 1"),
        ("sd1", {"sizes": ToldSizes((64, 64))}, "original_size", "takes no sizes beside the text"),
    ],
)
def test_what_a_base_model_does_not_have_is_refused(
    loaded: Callable[[str], Loaded], name: str, said: dict[str, Any], param: str, problem: str
) -> None:
    with pytest.raises(RequestError, match=problem) as caught:
        generate(loaded(name)[0], GenerateRequest("a fox", **said))
    assert caught.value.details["param"] == param
