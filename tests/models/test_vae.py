"""Pictures go through the VAE together, alone or in tiles, by their size; only tiles change anything of them."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import diffusers
import pytest
import torch
from torch import Tensor

from tests.models.tiny_bases import make_base
from tests.models.transformer_bases import make_transformer_base
from textinv.models import BaseModel, load_base_model

Sized = Callable[[str, int], BaseModel]
FAMILIES = ["sd1", "sana"]
"""Of both kinds of VAE that know slices and tiles; latents are 4 times smaller along a side."""


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Sized:
    """A tiny base by family and native size in pixels."""
    torch.set_num_threads(1)
    root, loaded = tmp_path_factory.mktemp("sized"), dict[tuple[str, int], BaseModel]()

    def base(family: str, native_px: int) -> BaseModel:
        key = (family, native_px)
        if key not in loaded:
            folder = root / f"{family}-{native_px}"
            (make_transformer_base if family == "sana" else make_base)(family, folder)
            file = folder / ("transformer" if family == "sana" else "unet") / "config.json"
            file.write_text(json.dumps({**json.loads(file.read_text()), "sample_size": native_px // 4}))
            loaded[key] = load_base_model(str(folder), device="cpu", dtype="float32")
        return loaded[key]

    return base


@contextmanager
def taken_by(part: str) -> Iterator[list[tuple[int, ...]]]:
    """Pictures, height and width of all that decoders (or encoders) of any VAE take meanwhile."""
    taken: list[tuple[int, ...]] = []

    def look(module: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
        if type(module).__name__ == part:
            taken.append((len(given[0]), *given[0].shape[2:]))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(look)
    yield taken
    hook.remove()


def decoded(model: BaseModel, latents: Tensor) -> tuple[Tensor, list[tuple[int, ...]]]:
    with taken_by("Decoder") as taken:
        pixels = model.decode_latents(latents)
    return pixels, taken


def theirs(model: BaseModel, latents: Tensor, tile_px: int | None = None) -> Tensor:
    """What diffusers' VAE gives of the same latents, whole or in its own tiles."""
    kind = diffusers.AutoencoderDC if model.family == "sana" else diffusers.AutoencoderKL
    vae = kind.from_pretrained(f"{model.id}/vae").to(memory_format=torch.channels_last)
    if tile_px is not None:
        vae.tile_sample_min_size, vae.tile_latent_min_size = tile_px, tile_px // 4
        vae.enable_tiling()
    with torch.no_grad():
        pixels: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return pixels


def latents_of(count: int, height_px: int, width_px: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(count, 4, height_px // 4, width_px // 4, generator=generator)


@pytest.mark.parametrize("family", FAMILIES)
def test_small_pictures_are_decoded_together_as_ever(family: str, sized: Sized) -> None:
    for side_px in (64, 256):
        latents = latents_of(2, side_px, side_px)
        pixels, taken = decoded(sized(family, 32), latents)
        assert taken == [(2, side_px // 4, side_px // 4)]
        assert torch.equal(pixels, theirs(sized(family, 32), latents))


@pytest.mark.parametrize("family", FAMILIES)
def test_larger_pictures_go_through_alone_and_are_the_same(family: str, sized: Sized) -> None:
    model, latents = sized(family, 320), latents_of(2, 288, 288)
    pixels, taken = decoded(model, latents)
    assert taken == [(1, 72, 72)] * 2
    assert torch.allclose(pixels, theirs(model, latents), rtol=1e-4, atol=1e-5)
    mean, std = model.encode_pixels(pixels)
    alone = [model.encode_pixels(one[None]) for one in pixels]
    assert torch.equal(mean, torch.cat([each for each, _ in alone]))
    assert torch.equal(std, torch.cat([each for _, each in alone]))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_picture_of_the_native_area_is_whole(family: str, sized: Sized) -> None:
    model, latents = sized(family, 320), latents_of(1, 192, 512)
    pixels, taken = decoded(model, latents)
    assert taken == [(1, 48, 128)]
    assert torch.equal(pixels, theirs(model, latents))


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_above_the_native_size_go_through_in_tiles_of_it(family: str, sized: Sized) -> None:
    model, latents = sized(family, 256), latents_of(2, 384, 320)
    pixels, taken = decoded(model, latents)
    assert len(taken) == 2 * 4
    assert all(count == 1 and max(sides) == 64 for count, *sides in taken[::4])
    assert pixels.shape == (2, 3, 384, 320)
    whole = theirs(model, latents)
    within_one_tile = (slice(None), slice(None), slice(0, 128), slice(0, 128))
    assert (pixels - whole)[within_one_tile].abs().mean() < 0.1 * whole.std()
    with taken_by("Encoder") as seen:
        mean, _ = model.encode_pixels(pixels)
    assert max(max(sides) for _, *sides in seen) == 256
    assert mean.shape == latents.shape


def test_tiles_are_those_of_diffusers(sized: Sized) -> None:
    latents = latents_of(1, 384, 320)
    pixels, _ = decoded(sized("sd1", 256), latents)
    assert torch.equal(pixels, theirs(sized("sd1", 256), latents, tile_px=256))


def test_a_vae_that_knows_no_tiles_takes_large_pictures_whole(sized: Sized) -> None:
    pixels, taken = decoded(sized("vq", 32), latents_of(2, 320, 320))
    assert taken == [(2, 80, 80)]
    assert pixels.shape == (2, 3, 320, 320)
