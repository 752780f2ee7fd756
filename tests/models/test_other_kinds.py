"""What looks like a base model and is something else is told what it is; what is one, whatever its files, loads."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from tests.models.transformer_bases import make_transformer_base
from textinv.errors import BaseModelError
from textinv.models import BaseModel, base_revision, load_base_model, look_up
from textinv.models.families import known_families


@pytest.fixture
def copy_of(tiny_folder: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A tiny base's folder to change."""
    return lambda family: shutil.copytree(tiny_folder(family), tmp_path / family)


def _change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def _refused(folder: Path) -> str:
    with pytest.raises(BaseModelError) as caught:
        load_base_model(str(folder), device="cpu", dtype="float32")
    assert caught.value.code == "base_model_unavailable"
    return caught.value.message.replace(str(folder), "IT")


UNETS: Mapping[str, tuple[dict[str, Any], str]] = {
    "inpainting": (
        {"in_channels": 9},
        "the UNet of the base model 'IT' takes 9 channels and gives 4, and latents have 4: it is an inpainting model; "
        "name the base model that it was made from: every base model can edit pictures",
    ),
    "instructed": (
        {"in_channels": 8},
        "the UNet of the base model 'IT' takes 8 channels and gives 4, and latents have 4: it edits pictures by "
        "instruction or enlarges them; name a base model that draws from text alone",
    ),
    "learned variance": (
        {"out_channels": 8},
        "the UNet of the base model 'IT' takes 4 channels and gives 8, and latents have 4: these are parts of "
        "different models; get all its files again",
    ),
    "of another text encoder": (
        {"cross_attention_dim": 48},
        "the UNet of the base model 'IT' attends to text of width 48, and its text encoders give 32: these are "
        "parts of different models; get all its files again",
    ),
    "distilled": (
        {"time_cond_proj_dim": 8},
        "the base model 'IT' takes its guidance scale as an input (time_cond_proj_dim): it is a distilled latent "
        "consistency model; name the base model that it was made from",
    ),
    "upscaler": (
        {"num_class_embeds": 10},
        "the UNet of the base model 'IT' takes more than text (num_class_embeds is 10), as upscalers and unCLIP "
        "do; name a base model that draws from text alone",
    ),
}


@pytest.mark.parametrize(("fields", "said"), UNETS.values(), ids=UNETS)
def test_a_unet_that_takes_other_things_than_latents_and_text_is_named(
    copy_of: Callable[[str], Path], fields: dict[str, Any], said: str
) -> None:
    folder = copy_of("sd1")
    config = json.loads((folder / "unet" / "config.json").read_text())
    diffusers.UNet2DConditionModel.from_config({**config, **fields}).save_pretrained(folder / "unet")
    assert _refused(folder) == said


def test_playgrounds_noise_scheduler_is_named(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("sdxl")
    _change(folder / "model_index.json", scheduler=["diffusers", "EDMDPMSolverMultistepScheduler"])
    diffusers.EDMDPMSolverMultistepScheduler().save_pretrained(folder / "scheduler")
    assert _refused(folder) == (
        "the noise scheduler is a EDMDPMSolverMultistepScheduler: the process of EDM (Karras et al. 2022), as "
        "Playground v2.5 and CosXL have it; base models whose noise scheduler has betas work, such as Stable "
        "Diffusion 1, 2 and XL (DDIMScheduler, EulerDiscreteScheduler, DPMSolverMultistepScheduler ...)"
    )


def test_a_vae_with_statistics_of_its_latents_is_read_as_diffusers_does(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("sdxl")
    mean, std = [-1.6574, 1.886, -1.383, 2.5155], [8.4927, 5.9022, 6.5498, 5.2299]
    _change(folder / "vae" / "config.json", latents_mean=mean, latents_std=std, scaling_factor=0.5)
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    latents = torch.randn(1, 4, 8, 8)
    mean_1C11, std_1C11 = (torch.tensor(each)[None, :, None, None] for each in (mean, std))
    with torch.no_grad():
        theirs = vae.decode(latents * std_1C11 / 0.5 + mean_1C11).sample
        posterior = vae.encode(theirs.clamp(-1, 1)).latent_dist
    assert torch.allclose(model.decode_latents(latents), theirs, atol=1e-4)
    encoded_mean, encoded_std = model.encode_pixels(theirs.clamp(-1, 1))
    assert torch.allclose(encoded_mean, (posterior.mean - mean_1C11) * 0.5 / std_1C11, atol=1e-4)
    assert torch.allclose(encoded_std, posterior.std * 0.5 / std_1C11, atol=1e-4)


@pytest.mark.parametrize(
    ("pipeline", "said"),
    [
        ("StableDiffusionXLImg2ImgPipeline", "without its first text encoder: SDXL's refiner, or an incomplete folder"),
        ("StableDiffusionInpaintPipeline", "which draws into masked pictures; name the base model that it was made"),
        ("StableDiffusionInstructPix2PixPipeline", "which edits pictures by instruction; name the base model"),
        ("StableDiffusionUpscalePipeline", "which enlarges pictures; name a base model that draws from text"),
    ],
)
def test_a_folder_of_another_pipeline_is_named(tmp_path: Path, pipeline: str, said: str) -> None:
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    message = _refused(tmp_path)
    assert message.startswith(f"the base model 'IT' is a {pipeline}")
    assert said in message
    assert message.endswith("known families are " + ", ".join(each.family for each in known_families()))


def test_a_part_that_is_missing_is_named(copy_of: Callable[[str], Path]) -> None:
    folder = copy_of("sdxl")
    _change(folder / "model_index.json", text_encoder_2=[None, None])
    assert _refused(folder).startswith("the base model 'IT' was saved without text_encoder_2: ")
    index = json.loads((folder / "model_index.json").read_text())
    del index["text_encoder_2"]
    (folder / "model_index.json").write_text(json.dumps(index))
    assert _refused(folder) == "the base model 'IT' has no text_encoder_2; get all its files again"


def test_a_folder_with_halves_only_loads(tiny: Callable[[str], BaseModel], copy_of: Callable[[str], Path]) -> None:
    folder, whole = copy_of("sd1"), tiny("sd1")
    for file in folder.glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    assert model.revision == base_revision(str(folder)) == look_up(str(folder)).revision
    assert torch.equal(model.vocabulary("text_encoder"), whole.vocabulary("text_encoder"))
    latents = torch.randn(1, 4, 8, 8)
    assert torch.equal(model.decode_latents(latents), whole.decode_latents(latents))


@pytest.mark.parametrize(("part", "said"), [("vae", "a VAE"), ("unet", "a UNet"), ("text_encoder", "a text encoder")])
def test_a_folder_that_is_one_part_is_called_it(copy_of: Callable[[str], Path], part: str, said: str) -> None:
    refused = _refused(copy_of("sd1") / part)
    assert refused == f"IT is {said}: one part of a base model; name the folder of the whole base model"


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (
            "pytorch_lora_weights.safetensors",
            "IT holds a LoRA: it changes a base model and is not one itself; name the",
        ),
        ("learned_embeds.safetensors", "IT holds an embedding: rows learned on a base model; name the base model, and"),
        ("notes.txt", "IT has no model_index.json: it is not a diffusers folder; name one that save_pretrained wrote"),
    ],
)
def test_a_folder_that_holds_something_else_is_told_what(tmp_path: Path, file: str, said: str) -> None:
    (tmp_path / file).write_bytes(b"x")
    assert _refused(tmp_path).startswith(said)


def test_a_base_model_that_was_saved_without_a_part_is_told_which(tmp_path: Path) -> None:
    folder = make_transformer_base("sd3", tmp_path / "base")
    _change(folder / "model_index.json", text_encoder_3=[None, None], tokenizer_3=[None, None])
    shutil.rmtree(folder / "text_encoder_3")
    shutil.rmtree(folder / "tokenizer_3")
    assert "'IT' was saved without text_encoder_3: learning and drawing need all parts" in _refused(folder)
    with pytest.raises(BaseModelError, match="was saved without text_encoder_3"):
        look_up(str(folder))
