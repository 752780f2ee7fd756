"""Fit a picture to the size that a base model trains at.

Owns scaling and cropping, of the colours and of the weight that alpha or a mask gives to each pixel. Keeps proportions:
the shorter side is scaled to fit, the longer one is cropped. Knows no models.
"""

import hashlib
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textinv.errors import ImageError
from textinv.images.decode import Picture

Crop = Literal["center", "random"]
_BICUBIC = Image.Resampling.BICUBIC
_BILINEAR = Image.Resampling.BILINEAR


def fit_picture(
    picture: Picture, width_px: int, height_px: int, crop: Crop = "center", *, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Scale and crop to pixels (3, H, W) in [-1, 1] and a weight (H, W) in [0, 1], None where all pixels count alike.

    A `random` crop is a function of (`seed`, the picture's digest).
    """
    box = crop_box(picture, width_px / height_px, crop, seed=seed)
    size = (width_px, height_px)
    image = Image.fromarray(picture.pixels).resize(size, _BICUBIC, box=box, reducing_gap=3.0)
    pixels: NDArray[np.float32] = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(127.5) - 1
    pixels = np.ascontiguousarray(pixels)
    if picture.alpha is None:
        return pixels, None
    alpha = Image.fromarray(picture.alpha).resize(size, _BILINEAR, box=box)
    return pixels, np.asarray(alpha, dtype=np.float32) / np.float32(255)


def with_mask(picture: Picture, mask: Picture) -> Picture:
    """Let a mask (bright where the loss counts) take the place of the picture's alpha; it is scaled to the picture.

    Raises:
        ImageError: the mask is black everywhere, or its proportions are not the picture's.
    """
    sizes = (mask.width_px, mask.height_px), (picture.width_px, picture.height_px)
    if problem := mask_problem(*sizes, int(mask.pixels.max())):
        raise ImageError(f"the mask {mask.name} of {picture.name} {problem}", file=mask.name)
    gray = Image.fromarray(mask.pixels).convert("L").resize(sizes[1], _BILINEAR)
    return replace(picture, alpha=np.asarray(gray))


def mask_problem(mask_size: tuple[int, int], picture_size: tuple[int, int], peak: int) -> str | None:
    """What is wrong with a mask, if anything: sizes are (width, height), `peak` its brightest value of 255."""
    if peak == 0:
        return "is black everywhere: paint white what is to be learned"
    if not 0.97 < (mask_size[0] * picture_size[1]) / (mask_size[1] * picture_size[0]) < 1.03:
        sizes = " and ".join(f"{width} x {height}" for width, height in (mask_size, picture_size))
        return f"has other proportions than its picture ({sizes}): give both the same"
    return None


def as_trained(picture: Picture, side_px: int, crop: Crop = "center", *, seed: int = 0) -> Image.Image:
    """The picture as training sees it, to be looked at: transparent where pixels count less in the loss."""
    pixels, weight = fit_picture(picture, side_px, side_px, crop, seed=seed)
    colours = np.rint((pixels.transpose(1, 2, 0) + 1) * 127.5).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(colours)
    if weight is not None:
        image.putalpha(Image.fromarray(np.rint(weight * 255).astype(np.uint8)))
    return image


def crop_box(
    picture: Picture, aspect: float = 1.0, crop: Crop = "center", *, seed: int = 0
) -> tuple[float, float, float, float]:
    """The largest rectangle of the wanted proportions, which is what is kept: left, top, right, bottom."""
    width, height = float(picture.width_px), float(picture.height_px)
    kept_width, kept_height = min(width, height * aspect), min(height, width / aspect)
    across, down = (0.5, 0.5) if crop == "center" else _random_place(picture.digest, seed)
    left, top = (width - kept_width) * across, (height - kept_height) * down
    return left, top, left + kept_width, top + kept_height


def _random_place(digest: str, seed: int) -> tuple[float, float]:
    drawn = hashlib.blake2b(f"{seed}/crop/{digest}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn[:4], "little") / 2**32, int.from_bytes(drawn[4:], "little") / 2**32
