"""Effects: ways of drawing a whole picture, such as pixel art or a sketch.

Owns pixel operations on finished pictures. Does not know objects, captions or models.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from textinv.demo.held_out_styles import HELD_OUT_EFFECTS, Redraw

RGB = tuple[int, int, int]


def fill(picture: Image.Image, colour: RGB) -> Image.Image:
    """Keep the shape of an RGBA picture and fill it with one colour."""
    filled = Image.new("RGBA", picture.size, (*colour, 0))
    filled.putalpha(picture.getchannel("A"))
    return filled


def apply(picture: Image.Image, effect: str | None, dark: RGB, light: RGB) -> Image.Image:
    """Redraw an RGB picture through `effect`, trained or held out; `dark` and `light` are the colours of a duotone.

    `None` and `silhouette` (which is done to the things, not to the picture) leave it as it is.
    """
    if effect == "duotone":
        return _duotone(picture, dark, light)
    return _EFFECTS[effect](picture) if effect and effect in _EFFECTS else picture


def _gradient(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum of the absolute horizontal and vertical differences, `(H, W, ...)`."""
    across = np.abs(np.diff(values, axis=1, append=values[:, -1:]))
    down = np.abs(np.diff(values, axis=0, append=values[-1:]))
    return across + down


def _pixel_art(picture: Image.Image) -> Image.Image:
    return picture.resize((16, 16), Image.Resampling.BOX).resize(picture.size, Image.Resampling.NEAREST)


def _sketch(picture: Image.Image) -> Image.Image:
    luma = np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    lines = 255 - np.clip(3 * _gradient(luma), 0, 235)
    return Image.fromarray(np.stack([lines] * 3, -1).astype(np.uint8))


def _neon(picture: Image.Image) -> Image.Image:
    glow = np.clip(2.5 * _gradient(np.asarray(picture, np.float32)) + 10, 0, 255)
    return Image.fromarray(glow.astype(np.uint8))


def _watercolor(picture: Image.Image) -> Image.Image:
    soft = picture.filter(ImageFilter.GaussianBlur(1.2)).filter(ImageFilter.ModeFilter(5))
    pale = np.asarray(ImageOps.posterize(soft, 3), np.float32) * 0.75 + 63
    return Image.fromarray(pale.astype(np.uint8))


def _duotone(picture: Image.Image, dark: RGB, light: RGB) -> Image.Image:
    luma = np.asarray(ImageOps.autocontrast(picture.convert("L")), np.float32)[..., None] / 255
    mixed = np.array(dark) * 0.8 * (1 - luma) + np.array(light) * luma
    return Image.fromarray(mixed.astype(np.uint8))


_EFFECTS: Mapping[str, Redraw] = {
    **HELD_OUT_EFFECTS,
    "pixel art": _pixel_art,
    "sketch": _sketch,
    "neon": _neon,
    "watercolor": _watercolor,
}
