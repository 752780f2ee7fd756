"""The safety checker of a base model: what it flags comes out black, and nothing else changes."""

import json
import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from tests.generation.screened_bases import FLAGS_ALL, FLAGS_NONE, make_screened_base
from tests.models.tiny_bases import make_base
from textinv.errors import BaseModelError
from textinv.generation import Engine, GeneratedImage, GenerateRequest, Preview, load_safety_checker
from textinv.models import load_base_model

CPU = torch.device("cpu")
REQUEST = GenerateRequest(
    "a red fox", num_inference_steps=4, num_images=6, preview_every=2, noise_scheduler="ddim", guidance_scale=4.0
)


def draw(folder: Path, screened: bool = True) -> tuple[list[GeneratedImage], list[Preview]]:
    """Draw, and collect the previews."""
    model = load_base_model(str(folder), device="cpu", dtype="float32")
    engine = Engine(model, max_batch=8, safety=load_safety_checker(str(folder), device=CPU) if screened else None)
    ticket = engine.submit(REQUEST)
    engine.run_until_idle()
    return ticket.result(0), ticket.previews


def test_what_is_flagged_is_black_in_previews_too(tmp_path: Path) -> None:
    images, previews = draw(make_screened_base(tmp_path / "base", FLAGS_ALL))
    assert all(image.flagged and not image.pixels.any() for image in images)
    assert len(previews) == 6
    assert not any(preview.pixels.any() for preview in previews)


def test_what_is_not_flagged_is_the_picture_that_it_would_be(tmp_path: Path) -> None:
    folder = make_screened_base(tmp_path / "base", FLAGS_NONE)
    (screened, _), (plain, _) = draw(folder), draw(folder, screened=False)
    for one, other in zip(screened, plain, strict=True):
        assert not one.flagged
        assert (one.pixels == other.pixels).all()


def test_some_of_a_batch_are_flagged_and_diffusers_flags_the_same(tmp_path: Path) -> None:
    folder = make_screened_base(tmp_path / "base", _between(tmp_path / "probe"))
    images, _ = draw(folder)
    assert len({image.flagged for image in images}) == 2
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    for image in images:
        theirs = pipeline(
            REQUEST.prompt,
            num_inference_steps=4,
            guidance_scale=REQUEST.guidance_scale,
            generator=torch.Generator().manual_seed(image.seed),
        )
        assert theirs.nsfw_content_detected == [image.flagged]
        assert np.abs(np.asarray(theirs.images[0]).astype(int) - image.pixels).max() <= 1


def test_a_base_without_one_is_not_screened_and_one_that_lost_its_own_is_refused(tmp_path: Path) -> None:
    assert load_safety_checker("emoji", device=CPU) is None
    assert load_safety_checker(str(make_base("sdxl", tmp_path / "plain")), device=CPU) is None
    folder = make_screened_base(tmp_path / "base", FLAGS_NONE)
    shutil.rmtree(folder / "safety_checker")
    with pytest.raises(BaseModelError, match="safety_checker"):
        load_safety_checker(str(folder), device=CPU)


def test_a_checker_whose_settings_are_wrong_is_refused_in_a_line(tmp_path: Path) -> None:
    base = make_screened_base(tmp_path / "base", FLAGS_ALL)
    config = base / "safety_checker" / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps(settings | {"vision_config": {"hidden_size": "wide"}}))
    with pytest.raises(BaseModelError, match=r"cannot be loaded: .* expected int, got str .*; get its files again, or"):
        load_safety_checker(str(base), device=CPU)


def _between(folder: Path) -> float:
    """A threshold that some of the request's pictures pass and some do not: the middle of their nearest cosines."""
    images, _ = draw(make_screened_base(folder, FLAGS_NONE), screened=False)
    low, high = FLAGS_ALL, FLAGS_NONE
    while True:
        middle = (low + high) / 2
        shutil.rmtree(folder)
        checker = load_safety_checker(str(make_screened_base(folder, middle)), device=CPU)
        assert checker is not None
        flags = checker.flag([image.pixels for image in images])
        if len(set(flags)) == 2:
            return middle
        low, high = (middle, high) if all(flags) else (low, middle)
        assert high - low > 1e-4, "all pictures are equally near"
