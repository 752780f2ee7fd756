"""Styles of drawing that no part of the demo base has seen: what style concepts are made of.

Owns pixel operations on finished pictures, each with parameters that no caption of the world names. Does not know
objects, captions or models. The trained effects are in `effects`.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

RGB = tuple[int, int, int]
Floats = NDArray[np.float32]
Redraw = Callable[[Image.Image], Image.Image]


def _luma(picture: Image.Image) -> Floats:
    return np.asarray(np.asarray(ImageOps.autocontrast(picture.convert("L"))) / 255, np.float32)


def _picture(values: NDArray[np.float32] | NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _map_colours(luma: Floats, *stops: RGB) -> Image.Image:
    """Colour each brightness by a path through `stops`, dark to light."""
    at = np.linspace(0, 1, len(stops))
    return _picture(np.stack([np.interp(luma, at, [stop[channel] for stop in stops]) for channel in range(3)], -1))


def _edges(picture: Image.Image, gain: float) -> Floats:
    """Strength of the outlines, `(H, W)` in [0, 1]."""
    luma = np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(0.6)), np.float32)
    across = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    down = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    return np.asarray(np.clip(gain * (across + down) / 255, 0, 1), np.float32)


def _blueprint(picture: Image.Image) -> Image.Image:
    return _map_colours(_edges(picture, 3.5), (25, 60, 150), (225, 240, 255))


def _chalkboard(picture: Image.Image) -> Image.Image:
    return _map_colours(_edges(picture, 3.5), (30, 60, 45), (255, 245, 190))


def _thermal(picture: Image.Image) -> Image.Image:
    return _map_colours(1 - _luma(picture), (20, 10, 80), (150, 20, 150), (250, 90, 40), (255, 240, 100))


def _sepia(picture: Image.Image) -> Image.Image:
    return _map_colours(_luma(picture), (60, 30, 10), (170, 120, 70), (250, 230, 190))


def _x_ray(picture: Image.Image) -> Image.Image:
    return _map_colours(1 - _luma(picture), (5, 10, 25), (40, 110, 150), (220, 250, 255))


def _sunset(picture: Image.Image) -> Image.Image:
    return _map_colours(_luma(picture), (70, 20, 90), (220, 60, 110), (255, 150, 70), (255, 225, 150))


def _night_vision(picture: Image.Image) -> Image.Image:
    green = np.asarray(_map_colours(_luma(picture), (0, 25, 5), (40, 160, 50), (190, 255, 170)), np.float32)
    rows = np.where(np.arange(picture.height) % 4 < 2, 1.0, 0.7)[:, None, None]
    return _picture(green * rows)


def _pop_art(picture: Image.Image) -> Image.Image:
    stops: tuple[RGB, ...] = ((20, 20, 90), (235, 30, 140), (40, 190, 220), (255, 230, 50))
    steps = np.minimum((_luma(picture) * len(stops)).astype(int), len(stops) - 1)
    return Image.fromarray(np.array(stops, np.uint8)[steps])


def _mosaic(picture: Image.Image) -> Image.Image:
    tiles = picture.resize((picture.width // 8, picture.height // 8), Image.Resampling.BOX)
    values = np.asarray(tiles.resize(picture.size, Image.Resampling.NEAREST), np.float32)
    y, x = np.mgrid[: picture.height, : picture.width]
    gaps = ((x % 8 == 0) | (y % 8 == 0))[..., None]
    return _picture(np.where(gaps, 40.0, values))


def _scan_lines(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture, np.float32)
    dark = (np.arange(picture.height) % 8 < 3)[:, None, None]
    return _picture(np.where(dark, 0.25 * values, values))


def _ink_wash(picture: Image.Image) -> Image.Image:
    soft = picture.filter(ImageFilter.GaussianBlur(1.4)).filter(ImageFilter.ModeFilter(5))
    steps = np.floor(_luma(soft) * 4) / 4
    return _map_colours(steps.astype(np.float32), (35, 35, 45), (250, 248, 240))


def _stained_glass(picture: Image.Image) -> Image.Image:
    flat = np.asarray(ImageOps.posterize(picture.filter(ImageFilter.ModeFilter(5)), 2), np.float32) * 1.25
    lead = np.clip(6 * _edges(picture, 1.0), 0, 1)[..., None]
    return _picture(flat * (1 - lead) + 15 * lead)


def _glitch(picture: Image.Image) -> Image.Image:
    values = np.asarray(picture)
    red, green, blue = (np.roll(values[..., channel], 5 * (channel - 1), axis=1) for channel in range(3))
    return Image.fromarray(np.stack([red, green, blue], -1))


HELD_OUT_EFFECTS: Mapping[str, Redraw] = {
    "blueprint": _blueprint,
    "chalkboard": _chalkboard,
    "thermal": _thermal,
    "sepia": _sepia,
    "x-ray": _x_ray,
    "sunset": _sunset,
    "night vision": _night_vision,
    "pop art": _pop_art,
    "mosaic": _mosaic,
    "scan lines": _scan_lines,
    "ink wash": _ink_wash,
    "stained glass": _stained_glass,
    "glitch": _glitch,
}
"""Name -> redrawing of an RGB picture."""
