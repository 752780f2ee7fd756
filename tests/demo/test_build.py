"""The whole demo base is made from icon packages, step by step, and a step that is done is not done again."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from textinv.demo.icons import HELD_OUT_OBJECTS, OBJECTS
from textinv.demo.making.build import TINY, Workshop, build
from textinv.demo.making.card import model_card
from textinv.demo.making.drawing import load_demo_base
from textinv.demo.making.rendering import PACKAGES
from textinv.evaluation.classifier import load_classifier
from textinv.models import revisions_of

pytest.importorskip("resvg_py")
pytestmark = pytest.mark.load

STEPS = ("packages", "sprites", "tokenizer", "clip", "vae", "decoder", "unet", "judge", "assemble")


def write_packages(folder: Path) -> None:
    """Icon packages in the format of the real ones, with a circle of its own colour for each object."""
    names = [*OBJECTS, *HELD_OUT_OBJECTS]
    for package in PACKAGES:
        icons = {
            name: {"body": f'<circle cx="8" cy="8" r="{3 + place % 5}" fill="hsl({place * 3}, 80%, 50%)"/>'}
            for place, name in enumerate(names)
        }
        target = folder / package
        target.mkdir(parents=True)
        (target / "icons.json").write_text(json.dumps({"prefix": package, "icons": icons, "width": 16, "height": 16}))
        categories = {"Activities": [], "Animals & Nature": names, "Food & Drink": [], "Objects": []}
        (target / "metadata.json").write_text(json.dumps({"categories": {**categories, "Travel & Places": []}}))


def test_a_tiny_base_is_built_from_packages_and_draws_in_diffusers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_packages(tmp_path / "packages")
    shop = Workshop(tmp_path / "out", tmp_path / "packages", TINY)
    build(shop, STEPS)

    pipeline = StableDiffusionPipeline.from_pretrained(shop.weights, safety_checker=None)
    picture = pipeline("a fox", height=64, width=64, num_inference_steps=2, output_type="pt").images
    assert picture.shape == (1, 3, 64, 64)
    assert torch.isfinite(picture).all()

    first, refined = (AutoencoderKL.from_pretrained(shop.state / part).state_dict() for part in ("vae", "decoder/vae"))
    moved = {name.split(".")[0] for name, weights in first.items() if not torch.equal(weights, refined[name])}
    assert moved == {"decoder", "post_quant_conv"}

    base = load_demo_base(shop.weights)
    assert base.draw(["a fox", "two owl"], num_inference_steps=2).shape == (2, 64, 64, 3)
    assert load_classifier(shop.weights / "judge").look(base.draw(["a fox"], num_inference_steps=1))[0].answer("count")
    card = model_card(shop.weights, {"clip top-1 of 128": 0.5, "vae psnr dB": 20.0})
    assert "has not been measured" in card
    assert "Textual Inversion" not in card
    ways = {way: {"clip_i": 0.5, "judge": 0.5} for way in ("learned", "initializer", "description")}
    taught = {"tiers": {"held-out-style": {"concepts": 12, **ways}}, "recipe": "balanced", "drawn": 12}
    measured = {"clip top-1 of 128": 0.5, "vae psnr dB": 20.0}
    assert "| held-out-style | 12 | learned | 0.500 |" in model_card(shop.weights, measured, taught)
    assert "an earlier UNet" in model_card(shop.weights, measured, taught | {"base_revision": "other"})
    taught["base_revision"] = revisions_of(str(shop.weights))[0]
    assert "an earlier UNet" not in model_card(shop.weights, measured, taught)
    assert "CC BY 4.0" in card

    before = (shop.state / "clip" / "model.safetensors").stat().st_mtime_ns
    build(shop, ("clip", "vae", "decoder", "unet"))  # nothing is left to train
    capsys.readouterr()
    assert (shop.state / "state.pt").exists()
    assert (shop.state / "clip" / "model.safetensors").stat().st_mtime_ns >= before
