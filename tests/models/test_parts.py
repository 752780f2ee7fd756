"""What a base model's UNet and VAE answer is what diffusers' pipelines make of the same parts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch

from tests.models.tiny_bases import make_base
from textinv.errors import BaseModelError
from textinv.models import BaseModel, Conditioning, load_base_model
from textinv.models.process import Diffusion


def _noisy(model: BaseModel, count: int) -> torch.Tensor:
    return torch.randn(count, model.latent_channels, 8, 8, generator=torch.Generator().manual_seed(1))


def _encode(model: BaseModel, texts: list[str]) -> Conditioning:
    return model.encode_text(model.tokenize(texts, {}), {})


def _long(model: BaseModel) -> Conditioning:
    """Two windows."""
    return model.joined(_encode(model, ["apple " * 30, "a cup"]))


def test_sdxl_is_told_an_uncropped_picture_of_the_latents_size_unless_told_otherwise(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path]
) -> None:
    model = tiny("sdxl")
    unet = diffusers.UNet2DConditionModel.from_pretrained(tiny_folder("sdxl"), subfolder="unet")
    noisy_BCHW, conditioning = _noisy(model, 2), _encode(model, ["a cup", "two foxes"])
    ours_BCHW = model.predict(noisy_BCHW, torch.tensor([10, 900]), conditioning)
    time_ids_B6 = torch.tensor([[32, 32, 0, 0, 32, 32]] * 2)
    added = {"text_embeds": conditioning["pooled"], "time_ids": time_ids_B6}
    theirs_BCHW = unet(noisy_BCHW, torch.tensor([10, 900]), conditioning["hidden"], added_cond_kwargs=added).sample
    torch.testing.assert_close(ours_BCHW, theirs_BCHW, rtol=1e-4, atol=1e-4)
    cropped_B6 = time_ids_B6 + torch.tensor([0, 0, 8, 4, 0, 0])
    cropped_BCHW = model.predict(noisy_BCHW, torch.tensor([10, 900]), conditioning.told(sizes=cropped_B6))
    assert not torch.allclose(ours_BCHW, cropped_BCHW)


def test_sdxl_refuses_a_conditioning_without_pooled_text(tiny: Callable[[str], BaseModel]) -> None:
    model = tiny("sdxl")
    hidden_BLD = _encode(model, ["a cup"])["hidden"]
    with pytest.raises(ValueError, match="no pooled; encode it with this model"):
        model.predict(_noisy(model, 1), torch.tensor([10]), Conditioning({"hidden": hidden_BLD}))


@pytest.mark.parametrize("family", ["sd1", "sdxl", "ldm"])
def test_a_short_text_beside_a_long_one_is_padded_and_masked_away(
    tiny: Callable[[str], BaseModel], family: str
) -> None:
    model = tiny(family)
    short, long = _encode(model, ["a fox"]), _long(model)
    both = model.batched([short, long])
    assert both["mask"].sum(1).tolist() == [model.window, 2 * model.window]
    noisy_BCHW, timesteps_B = _noisy(model, 2), torch.tensor([10, 900])
    together_BCHW = model.predict(noisy_BCHW, timesteps_B, both)
    for place, alone in enumerate((short, long)):
        own_BCHW = model.predict(noisy_BCHW[place : place + 1], timesteps_B[place : place + 1], alone)
        torch.testing.assert_close(together_BCHW[place : place + 1], own_BCHW, rtol=1e-4, atol=1e-4)


def test_texts_of_one_length_need_no_mask_and_can_be_picked(tiny: Callable[[str], BaseModel]) -> None:
    both = tiny("sdxl").batched([_encode(tiny("sdxl"), [text]) for text in ("a fox", "a cup")])
    assert both.get("mask") is None
    picked = both.index(torch.tensor([1, 1, 0]))
    assert len(picked["hidden"]) == len(picked["pooled"]) == 3
    assert torch.equal(picked["hidden"][0], both["hidden"][1])


def test_a_unet_that_pools_the_text_itself_cannot_mask_and_says_so(tmp_path: Path) -> None:
    model = load_base_model(str(make_base("pooling", tmp_path / "pooling")), device="cpu", dtype="float32")
    assert (model.family, model.masks_text) == ("sd1", False)
    answer_BCHW = model.predict(_noisy(model, 1), torch.tensor([10]), _encode(model, ["a fox"]))
    assert answer_BCHW.shape == (1, 4, 8, 8)
    assert not torch.allclose(answer_BCHW, model.predict(_noisy(model, 1), torch.tensor([10]), _encode(model, ["x"])))


@pytest.mark.parametrize("family", ["sd1", "ldm"])
def test_latents_are_scaled_as_the_unet_wants_them(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], family: str
) -> None:
    model = tiny(family)
    vae = diffusers.AutoencoderKL.from_pretrained(tiny_folder(family), subfolder="vqvae" if family == "ldm" else "vae")
    pixels_BCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1
    with torch.no_grad():
        posterior = vae.encode(pixels_BCHW).latent_dist
        decoded_BCHW = vae.decode(posterior.mean).sample
    mean_BCHW, std_BCHW = model.encode_pixels(pixels_BCHW)
    torch.testing.assert_close(mean_BCHW, posterior.mean * 0.18215, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(std_BCHW, posterior.std * 0.18215, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decode_latents(mean_BCHW), decoded_BCHW, rtol=1e-4, atol=1e-4)


def test_latents_without_a_distribution_have_no_deviation(tmp_path: Path) -> None:
    model = load_base_model(str(make_base("vq", tmp_path / "vq")), device="cpu", dtype="float32")
    mean_BCHW, std_BCHW = model.encode_pixels(torch.rand(1, 3, 32, 32))
    assert mean_BCHW.shape == std_BCHW.shape == (1, 4, 8, 8)
    assert not std_BCHW.any()
    assert model.decode_latents(mean_BCHW).shape == (1, 3, 32, 32)


def test_an_sdxl_may_want_nothing_said_for_an_empty_negative_prompt(
    tiny: Callable[[str], BaseModel], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "zeros"
    shutil.copytree(tiny_folder("sdxl"), folder)
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "force_zeros_for_empty_prompt": True}))
    assert not tiny("sdxl").zeros_empty_negative
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    assert model.zeros_empty_negative
    pipeline = diffusers.StableDiffusionXLPipeline.from_pretrained(folder)
    _, hidden_BLD, _, pooled_BD = pipeline.encode_prompt("a cup", device="cpu", num_images_per_prompt=1)
    ours = model.unsaid(_encode(model, ["a cup"]))
    assert torch.equal(ours["hidden"], hidden_BLD)
    assert torch.equal(ours["pooled"], pooled_BD)


def test_a_prediction_type_that_nobody_can_train_is_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(tiny_folder("sd1"), folder)
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace('"epsilon"', '"flow"'))
    with pytest.raises(BaseModelError, match="predicts 'flow'"):
        load_base_model(str(folder))


def test_the_noise_schedule_is_the_noise_schedulers(tiny: Callable[[str], BaseModel]) -> None:
    model = tiny("sd1")
    assert isinstance(model.process, Diffusion)
    scheduler = diffusers.DDIMScheduler.from_config(model.process.config)
    torch.testing.assert_close(model.process.alphas_cumprod_T, scheduler.alphas_cumprod)
    assert len(model.process.alphas_cumprod_T) == 1000
