"""Checkpoints that are one file, in the original repositories' layout, load with the configs beside them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file

from tests.models.original_layout import save_original
from textinv.errors import BaseModelError
from textinv.models import BaseModel, base_revision, load_base_model, load_words, native_size_px

PIPELINES = {"sd1": "StableDiffusionPipeline", "sd2": "StableDiffusionPipeline", "sdxl": "StableDiffusionXLPipeline"}


def _single_file(folder: Path, family: str, target: Path) -> Path:
    pipeline = getattr(diffusers, PIPELINES[family]).from_pretrained(folder)
    save_original(pipeline, target, family)
    shutil.copytree(folder, target.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"), dirs_exist_ok=True)
    return target


def _answer(model: BaseModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    noisy_BCHW = torch.randn(1, model.latent_channels, 8, 8, generator=generator)
    encoded = model.encode_text(model.tokenize(["a photo of two cups"], {}), {})
    predicted_BCHW = model.predict(noisy_BCHW, torch.tensor([300]), encoded)
    return model.decode_latents(predicted_BCHW) + model.encode_pixels(model.decode_latents(noisy_BCHW))[0].mean()


@pytest.mark.parametrize("family", list(PIPELINES))
def test_a_single_file_answers_as_the_folder_that_it_was_made_of(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    file = _single_file(tiny_folder(family), family, tmp_path / "model-v1.safetensors")
    model = load_base_model(str(file), device="cpu", dtype="float32")
    assert model.family == family
    assert model.process.predicts == tiny(family).process.predicts
    assert (model.revision, model.native_px) == (base_revision(str(file)), native_size_px(str(file)))
    torch.testing.assert_close(_answer(model), _answer(tiny(family)), rtol=1e-4, atol=1e-4)


def test_an_old_checkpoint_file_answers_as_its_safetensors(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    file = _single_file(tiny_folder("sd1"), "sd1", tmp_path / "model.safetensors")
    torch.save({"state_dict": load_file(file)}, tmp_path / "model.ckpt")
    model = load_base_model(str(tmp_path / "model.ckpt"), device="cpu", dtype="float32")
    assert model.revision != base_revision(str(file))
    torch.testing.assert_close(_answer(model), _answer(tiny("sd1")), rtol=1e-4, atol=1e-4)


def test_a_single_file_without_configs_says_where_they_belong(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    file = _single_file(tiny_folder("sd1"), "sd1", tmp_path / "model.safetensors")
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(BaseModelError, match=f"without weights at {tmp_path / 'model'}"):
        load_base_model(str(file))


def test_words_alone_cannot_be_looked_up_in_a_single_file(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    file = _single_file(tiny_folder("sd1"), "sd1", tmp_path / "model.safetensors")
    with pytest.raises(BaseModelError, match="is a single file, from which text encoders cannot be loaded alone"):
        load_words(str(file), ["text_encoder"], "apple")


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.txt").write_text("x")
    with pytest.raises(BaseModelError, match=r"\.safetensors or \.ckpt"):
        base_revision(str(tmp_path / "model.txt"))


def test_a_damaged_checkpoint_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    file = _single_file(tiny_folder("sd1"), "sd1", tmp_path / "model.safetensors")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BaseModelError, match="is cut off or damaged"):
        load_base_model(str(file))


@pytest.mark.parametrize("weights", ["int8", "nf4"])
def test_weights_of_a_single_file_are_not_rounded_and_it_is_said_what_to_do(
    tiny_folder: Callable[[str], Path], tmp_path: Path, weights: str
) -> None:
    file = _single_file(tiny_folder("sd1"), "sd1", tmp_path / "model.safetensors")
    with pytest.raises(BaseModelError, match=f"rounded to {weights} only while a diffusers folder is loaded"):
        load_base_model(f"{file}?weights={weights}", device="cpu")
