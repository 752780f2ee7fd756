"""Pictures are scaled and cropped to a size without changing their proportions; masks weigh their pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from textinv.errors import ImageError
from textinv.images import Picture, fit_picture, with_mask


def picture(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None = None, digest: str = "d") -> Picture:
    return Picture(pixels, alpha, digest, "fox.png")


def ramp(width: int, height: int) -> NDArray[np.uint8]:
    """Brightness grows from left to right."""
    row = np.linspace(0, 255, width).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (height, width, 3)).copy()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([8, 16, 64]), st.sampled_from(["center", "random"]))
def test_any_picture_becomes_the_size_that_was_asked_for(width: int, height: int, side: int, crop: str) -> None:
    pixels, weight = fit_picture(picture(ramp(width, height)), side, side, crop)  # type: ignore[arg-type]
    assert pixels.shape == (3, side, side)
    assert pixels.dtype == np.float32
    assert pixels.min() >= -1
    assert pixels.max() <= 1
    assert weight is None


def test_black_is_minus_one_and_white_is_one() -> None:
    flat = np.zeros((8, 8, 3), dtype=np.uint8)
    assert fit_picture(picture(flat), 8, 8)[0].max() == -1
    assert fit_picture(picture(flat + 255), 8, 8)[0].min() == 1


def test_the_middle_of_a_wide_picture_is_kept() -> None:
    pixels, _ = fit_picture(picture(ramp(120, 40)), 40, 40)
    assert abs(float(pixels.mean())) < 0.05
    assert float(pixels[:, :, 0].mean()) == pytest.approx(-1 / 3, abs=0.05)


def test_a_random_crop_depends_on_seed_and_picture_and_on_nothing_else() -> None:
    wide = picture(ramp(400, 40))
    crops = [fit_picture(wide, 40, 40, "random", seed=seed)[0].mean() for seed in range(8)]
    assert len({round(float(mean), 3) for mean in crops}) > 4
    assert crops[3] == fit_picture(wide, 40, 40, "random", seed=3)[0].mean()
    other = fit_picture(picture(ramp(400, 40), digest="other"), 40, 40, "random", seed=3)[0].mean()
    assert crops[3] != other


def test_alpha_is_cropped_with_its_picture() -> None:
    alpha = np.zeros((40, 120), dtype=np.uint8)
    alpha[:, 40:80] = 255
    _, weight = fit_picture(picture(ramp(120, 40), alpha), 20, 20)
    assert weight is not None
    assert weight.shape == (20, 20)
    assert weight[:, 2:-2].min() == pytest.approx(1)


def test_a_mask_of_another_size_takes_the_place_of_transparency() -> None:
    mask = np.zeros((10, 20, 3), dtype=np.uint8)
    mask[:, 10:] = 255
    masked = with_mask(picture(ramp(80, 40), np.full((40, 80), 7, dtype=np.uint8)), picture(mask))
    assert masked.alpha is not None
    assert masked.alpha.shape == (40, 80)
    assert masked.alpha[20, 5] == 0
    assert masked.alpha[20, 75] == 255


def test_a_mask_of_other_proportions_is_refused() -> None:
    with pytest.raises(ImageError, match="other proportions than its picture"):
        with_mask(picture(ramp(80, 40)), picture(ramp(40, 40)))


def test_a_black_mask_is_refused() -> None:
    with pytest.raises(ImageError, match="black everywhere"):
        with_mask(picture(ramp(80, 40)), picture(np.zeros((40, 80, 3), dtype=np.uint8)))
