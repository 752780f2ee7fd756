"""Fit a picture to the size that a base model trains at.

Owns scaling and cropping, of the colours and of the weight that alpha or a mask gives to each pixel, and the shapes
that pictures are trained in. Keeps proportions: what a shape lacks of a picture is cropped. Knows no models.
"""

import hashlib
import itertools
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Literal

from PIL import Image

from textinv.errors import ImageError
from textinv.images.decode import Picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Crop = Literal["center", "random", "fit"]
BUCKET_STEP_PX, SMALL_STEP_PX = 64, 8
"""Sides of shapes are multiples of it; of the second one where squares of under `LEAST_SIDE_PX` are trained at."""
LEAST_SIDE_PX = 256
LEAST_AREA, MOST_ASPECT = 0.9, 4.0
"""A shape has at least this share of the square's area, and is at most so many times longer than wide. At 1024 px these
are the shapes that SDXL was trained in (Podell et al. 2023, arXiv:2307.01952, appendix I)."""
_BICUBIC = Image.Resampling.BICUBIC
_BILINEAR = Image.Resampling.BILINEAR


def fit_picture(
    picture: Picture, width_px: int, height_px: int, crop: Crop = "center", *, seed: int = 0
) -> "tuple[NDArray[np.float32], NDArray[np.float32] | None]":
    """Scale and crop to pixels (3, H, W) in [-1, 1] and a weight (H, W) in [0, 1], None where all pixels count alike.

    A `random` crop is a function of (`seed`, the picture's digest).
    """
    import numpy as np  # 0.2 s: only where pixels are looked at

    box = crop_box(picture, width_px / height_px, crop, seed=seed)
    size = (width_px, height_px)
    image = Image.fromarray(picture.pixels).resize(size, _BICUBIC, box=box, reducing_gap=3.0)
    pixels: NDArray[np.float32] = np.asarray(image, dtype=np.float32).transpose(2, 0, 1) / np.float32(127.5) - 1
    pixels = np.ascontiguousarray(pixels)
    if picture.alpha is None:
        return pixels, None
    alpha = Image.fromarray(picture.alpha).resize(size, _BILINEAR, box=box)
    return pixels, np.asarray(alpha, dtype=np.float32) / np.float32(255)


@cache
def shapes(side_px: int) -> tuple[tuple[int, int], ...]:
    """Widths and heights near the area of a square: it comes first."""
    step = BUCKET_STEP_PX if side_px >= LEAST_SIDE_PX else SMALL_STEP_PX
    sides = range(step, int(side_px * MOST_ASPECT**0.5) + 1, step)
    pairs = [pair for pair in itertools.product(sides, sides) if max(pair) <= MOST_ASPECT * min(pair)]
    near = [pair for pair in pairs if LEAST_AREA <= pair[0] * pair[1] / side_px**2 <= 1]
    return tuple(dict.fromkeys([(side_px, side_px), *near]))


def trained_size(size_px: tuple[int, int], side_px: int, crop: Crop) -> tuple[int, int]:
    """Width and height that a picture of these is trained at: with `fit` those of the shape that cuts least."""
    if crop != "fit":
        return side_px, side_px
    return max(shapes(side_px), key=lambda shape: kept_share(size_px, shape))


def kept_share(size_px: tuple[int, int], shape_px: tuple[int, int]) -> float:
    """How much of a picture's area is left when it is cropped to a shape."""
    aspects = size_px[0] * shape_px[1], size_px[1] * shape_px[0]
    return min(aspects) / max(aspects)


def with_mask(picture: Picture, mask: Picture) -> Picture:
    """Let a mask (bright where the loss counts) take the place of the picture's alpha; it is scaled to the picture.

    Raises:
        ImageError: the mask is black everywhere, or its proportions are not the picture's.
    """
    import numpy as np  # 0.2 s: only where pixels are looked at

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
    import numpy as np  # 0.2 s: only where pixels are looked at

    width, height = trained_size((picture.width_px, picture.height_px), side_px, crop)
    pixels, weight = fit_picture(picture, width, height, crop, seed=seed)
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
    across, down = _random_place(picture.digest, seed) if crop == "random" else (0.5, 0.5)
    left, top = (width - kept_width) * across, (height - kept_height) * down
    return left, top, left + kept_width, top + kept_height


def _random_place(digest: str, seed: int) -> tuple[float, float]:
    drawn = hashlib.blake2b(f"{seed}/crop/{digest}".encode(), digest_size=8).digest()
    return int.from_bytes(drawn[:4], "little") / 2**32, int.from_bytes(drawn[4:], "little") / 2**32
