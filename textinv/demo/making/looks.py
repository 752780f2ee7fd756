"""Looks: ways of drawing a whole picture as points of one continuous space.

Owns the space (blur, flat tones, palette, outlines, cells, hatching, grain, shifted colours) and how a picture is
redrawn at a point of it. Does not know which points are drawn (`drawn_looks`), scenes or models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from textinv.demo.held_out_styles import RGB

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """One way of drawing; the defaults leave a picture as it is."""

    blur_px: float = 0.0
    levels: int = 0
    """Brightness steps per channel; 0 keeps all."""
    palette: tuple[RGB, ...] = ()
    """Colours from dark to bright, or from paper to line where only outlines are drawn; none keeps the picture's."""
    only_outlines: bool = False
    line_gain: float = 0.0
    line_px: float = 0.6
    """Softness of what an outline is found in: larger makes wider lines."""
    line_colour: RGB = (0, 0, 0)
    cell_px: int = 0
    gap: float = 0.0
    """How dark the gaps between cells are, in [0, 1]."""
    hatch_px: float = 0.0
    """Distance of hatching lines; 0 draws none."""
    hatch_deg: float = 0.0
    hatch_share: float = 0.4
    """Share of the distance that a line takes."""
    hatch_strength: float = 0.5
    hatch_colour: RGB = (0, 0, 0)
    hatch_in_shadow: bool = False
    """Hatch the darker half only."""
    grain: float = 0.0
    shift_px: tuple[int, int] = (0, 0)
    """By how much red and blue are moved apart, across and down."""


def redraw(picture: Image.Image, look: Look) -> Image.Image:
    """Redraw an RGB picture at a point of the space."""
    soft = picture.filter(ImageFilter.GaussianBlur(look.blur_px)) if look.blur_px else picture
    values = np.asarray(soft, np.float32)
    if look.levels:
        values = np.floor(values / 256 * look.levels) * np.float32(255 / (look.levels - 1))
    if look.cell_px:
        values = _in_cells(values, look.cell_px)
    outlines = _outlines(picture, look)
    if look.palette:
        brightness = outlines if look.only_outlines else _brightness(values)
        values = _coloured(brightness, look.palette)
    if look.line_gain and not look.only_outlines:
        values = _blend(values, look.line_colour, outlines)
    if look.cell_px and look.gap:
        values = _blend(values, (30, 30, 30), look.gap * _gaps(values.shape, look.cell_px))
    if look.hatch_px:
        values = _blend(values, look.hatch_colour, look.hatch_strength * _hatching(values, look))
    if look.grain:
        values = values + look.grain * _noise(*values.shape[:2])
    if any(look.shift_px):
        across, down = look.shift_px
        values = np.stack(
            [np.roll(values[..., channel], (down * (1 - channel), across * (1 - channel)), (0, 1))
             for channel in range(3)], -1
        )  # fmt: skip
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _outlines(picture: Image.Image, look: Look) -> Floats:
    luma = np.asarray(picture.convert("L").filter(ImageFilter.GaussianBlur(look.line_px)), np.float32)
    across = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
    down = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    return np.asarray(np.clip(look.line_gain * (across + down) / 255, 0, 1), np.float32)


def _brightness(values: Floats) -> Floats:
    grey = Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("L")
    return np.asarray(np.asarray(ImageOps.autocontrast(grey), np.float32) / 255, np.float32)


def _coloured(brightness: Floats, palette: Sequence[RGB]) -> Floats:
    at = np.linspace(0, 1, len(palette))
    channels = [np.interp(brightness, at, [colour[channel] for colour in palette]) for channel in range(3)]
    return np.stack(channels, -1).astype(np.float32)


def _blend(values: Floats, colour: RGB, share: Floats) -> Floats:
    return np.asarray(values + (np.array(colour, np.float32) - values) * share[..., None], np.float32)


def _in_cells(values: Floats, cell_px: int) -> Floats:
    height, width = values.shape[:2]
    y, x = (np.arange(side) // cell_px for side in (height, width))
    rows = np.add.reduceat(values, np.arange(0, height, cell_px), 0)
    cells = np.add.reduceat(rows, np.arange(0, width, cell_px), 1)
    sizes = np.bincount(y)[:, None] * np.bincount(x)[None]
    return np.asarray((cells / sizes[..., None])[y][:, x], np.float32)


def _gaps(shape: tuple[int, ...], cell_px: int) -> Floats:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray((x % cell_px == 0) | (y % cell_px == 0), np.float32)


def _hatching(values: Floats, look: Look) -> Floats:
    y, x = np.mgrid[: values.shape[0], : values.shape[1]]
    angle = np.deg2rad(look.hatch_deg)
    phase = (((x + 0.5) * np.sin(angle) + (y + 0.5) * np.cos(angle)) / look.hatch_px) % 1
    from_middle = np.abs((phase - look.hatch_share / 2 + 0.5) % 1 - 0.5)
    lines = np.clip((look.hatch_share / 2 - from_middle) * look.hatch_px + 0.5, 0, 1)
    shadow = np.clip(2.2 - 3 * _brightness(values), 0, 1) if look.hatch_in_shadow else 1.0
    return np.asarray(lines * shadow, np.float32)


@cache
def _noise(height: int, width: int) -> Floats:
    return np.random.default_rng(0).standard_normal((height, width, 1)).astype(np.float32)
