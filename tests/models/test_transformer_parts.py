"""A folder whose parts do not belong together is refused by name, whatever its transformer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.models.transformer_bases import make_transformer_base
from textinv.errors import BaseModelError
from textinv.models import load_base_model


@pytest.fixture
def sd3(tmp_path: Path) -> Path:
    return make_transformer_base("sd3", tmp_path / "base")


def _change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def _refused(folder: Path) -> str:
    with pytest.raises(BaseModelError) as caught:
        load_base_model(str(folder), device="cpu", dtype="float32")
    return caught.value.message.replace(str(folder), "IT")


def _reshaped(folder: Path, change: Callable[[str, torch.Tensor], torch.Tensor], **fields: Any) -> None:
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    _change(folder / "transformer" / "config.json", **fields)
    save_file({name: change(name, tensor).contiguous() for name, tensor in load_file(file).items()}, file)


def test_a_transformer_that_takes_more_than_latents_is_named(sd3: Path) -> None:
    _reshaped(
        sd3, lambda name, one: torch.cat([one, one], 1) if name == "pos_embed.proj.weight" else one, in_channels=8
    )
    assert _refused(sd3) == (
        "the transformer of the base model 'IT' takes 8 channels, and latents have 4: these are parts of different "
        "models, or of one that edits pictures; name a base model that draws from text alone"
    )


def test_a_transformer_of_another_text_encoder_is_named(sd3: Path) -> None:
    width = json.loads((sd3 / "transformer" / "config.json").read_text())["joint_attention_dim"]
    _reshaped(
        sd3,
        lambda name, one: torch.cat([one, one], 1) if name == "context_embedder.weight" else one,
        joint_attention_dim=2 * width,
    )
    assert _refused(sd3) == (
        f"the transformer of the base model 'IT' attends to text of width {2 * width}, and its text encoder gives "
        f"{width}: these are parts of different models; get all its files again"
    )


def test_a_flow_model_with_a_noise_scheduler_of_diffusion_is_told_which_to_write(sd3: Path) -> None:
    _change(sd3 / "scheduler" / "scheduler_config.json", _class_name="DDIMScheduler")
    _change(sd3 / "model_index.json", scheduler=["diffusers", "DDIMScheduler"])
    said = _refused(sd3)
    assert said.startswith(
        "the noise scheduler is a DDIMScheduler, but this family's network was trained by flow match"
    )
    assert said.endswith("for example to FlowMatchEulerDiscreteScheduler")
