"""What training sees of a picture, shown to people, and what is said of one picture alone."""

import io

import numpy as np
import pytest
from PIL import Image

from textinv.images import as_trained, crop_box, decode_picture
from textinv.plan.picture_check import check_picture
from textinv.plan.picture_facts import FactsCache


def png(width: int, height: int, seed: int = 0, alpha: int | None = None) -> bytes:
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    if alpha is not None:
        image.putalpha(alpha)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("crop", ["center", "random"])
def test_what_is_shown_is_the_box_that_is_told(crop: str) -> None:
    picture = decode_picture(png(96, 64), "p")
    left, top, right, bottom = crop_box(picture, 1.0, crop, seed=7)  # type: ignore[arg-type]
    assert (round(right - left), round(bottom - top), top) == (64, 64, 0)
    shown = np.asarray(as_trained(picture, 64, crop, seed=7), int)  # type: ignore[arg-type]
    box = (round(left), 0, round(left) + 64, 64)
    assert np.abs(shown - np.asarray(Image.fromarray(picture.pixels).crop(box), int)).mean() < 4


def test_what_counts_half_in_the_loss_is_half_transparent() -> None:
    shown = as_trained(decode_picture(png(64, 64, alpha=128), "p"), 32)
    assert shown.mode == "RGBA"
    assert set(np.unique(np.asarray(shown)[..., 3])) <= {127, 128, 129}


def test_problems_of_one_picture_are_told_apart() -> None:
    cache = FactsCache(None)
    picture = decode_picture(png(60, 80), "p")
    facts, again = (cache.learn(name, picture) for name in "ab")
    other = cache.learn("c", decode_picture(png(60, 80, seed=1), "o"))
    scaled = cache.learn("d", decode_picture(png(120, 160), "s"))
    assert len(cache) == 4
    assert list(check_picture(facts, 32, others={other.digest: other})) == []
    kinds = [[one.kind for one in check_picture(facts, side)] for side in (64, 128, 256)]
    assert kinds == [["enlarged"], ["too_small"], ["too_small"]]
    assert [one.kind for one in check_picture(facts, 64, min_size_px=61)] == ["too_small"]
    found = list(check_picture(facts, 32, others={again.digest: again, scaled.digest: scaled}))
    assert [(one.kind, one.other) for one in found] == [
        ("same_picture", again.digest),
        ("near_duplicate", scaled.digest),
    ]
    assert not any(one.is_refused for one in found)
