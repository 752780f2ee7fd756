"""Every family draws what diffusers' own pipeline draws: same seed, same rows, each noise scheduler."""

import json
from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.embedding import Embedding
from textinv.generation.draw import generate
from textinv.generation.request import GenerateRequest
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
            found[name] = load_base_model(str(folder), device="cpu", dtype="float32"), pipeline
        return found[name]

    return load


def _rows(model: BaseModel, count: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(count, width, generator=generator) for name, width in model.encoder_widths.items()}


def _ours(model: BaseModel, rows: dict[str, torch.Tensor], kind: SchedulerKind, rescale: float) -> np.ndarray:
    request = GenerateRequest(
        "a photo of <thing>",
        num_inference_steps=4,
        guidance_scale=GUIDANCE,
        guidance_rescale=rescale,
        seed=3,
        noise_scheduler=kind.name,
    )
    return generate(model, request, {THING: Embedding(rows)})[0].pixels


def _theirs(pipeline: Any, rows: dict[str, torch.Tensor], kind: SchedulerKind, rescale: float) -> np.ndarray:
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
    extras = {"guidance_rescale": rescale} if rescale else {}
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


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def _num_tokens(pipeline: Any) -> int:
    return len(pipeline.tokenizer("fox", add_special_tokens=False).input_ids)


@pytest.mark.parametrize("name", BASES)
def test_a_family_draws_a_concept_as_diffusers_does(loaded: Callable[[str], Loaded], name: str) -> None:
    model, pipeline = loaded(name)
    rescale, kind = (0.7 if "zero" in name else 0.0), find_scheduler_kind("ddim")
    one, other = (_rows(model, _num_tokens(pipeline), seed) for seed in (1, 2))
    ours = _ours(model, one, kind, rescale)
    assert _differ(ours, _theirs(pipeline, one, kind, rescale)) <= 1
    assert _differ(ours, _ours(model, other, kind, rescale)) >= 10


@pytest.mark.parametrize(
    "kind", [kind for kind in SCHEDULER_KINDS if kind.name not in ("heun", "plms")], ids=lambda kind: kind.name
)
def test_zero_terminal_snr_is_drawn_as_diffusers_does(loaded: Callable[[str], Loaded], kind: SchedulerKind) -> None:
    model, pipeline = loaded("sd2-v-zero")
    rows = _rows(model, _num_tokens(pipeline), 1)
    ours = _ours(model, rows, kind, 0.7)
    assert _differ(ours, _theirs(pipeline, rows, kind, 0.7)) <= 1
