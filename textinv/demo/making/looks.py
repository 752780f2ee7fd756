"""Looks: ways of drawing a whole picture as points of one continuous space, which the wider world draws from.

Owns the space (blur, flat tones, palette, outlines, cells, hatching, grain, shifted colours), how a picture is redrawn
at a point of it, and what of it may be said in a caption. The held-out effects lie within what the space spans, so no
look is drawn that comes near one of them: `near_held_out` compares what they make of the same pictures. Does not know
scenes or models.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps

from textinv.demo.artwork import demo_sprites
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS, RGB
from textinv.demo.world import COLOURS, Scene, Thing, draw

Floats = NDArray[np.float32]

NEAREST_TO_HELD_OUT = 0.4
"""How far a look keeps from a held-out effect, as a share of how far the effect moves a picture."""
_PALETTE_SPAN = 90
"""By how much the first and last colour of a palette differ at least in some channel."""


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


def sample_look(rng: random.Random) -> Look:
    """Draw a look: one to three of its properties away from the defaults, and not near a held-out effect."""
    while near_held_out(look := _any_look(rng)):
        pass
    return look


def _any_look(rng: random.Random) -> Look:
    look = Look()
    for vary in rng.sample(_VARIATIONS, rng.choices((1, 2, 3), (4, 4, 2))[0]):
        look = replace(look, **vary(rng))
    return look


def _colour(rng: random.Random, darkest: int = 0, brightest: int = 255) -> RGB:
    red, green, blue = (rng.randint(darkest, brightest) for _ in range(3))
    return red, green, blue


def _palette(rng: random.Random) -> tuple[RGB, ...]:
    while True:
        colours = [_colour(rng) for _ in range(rng.choice((2, 2, 3, 4)))]
        if max(abs(a - b) for a, b in zip(colours[0], colours[-1], strict=True)) > _PALETTE_SPAN:
            break
    if rng.random() < 0.75:  # else brightness runs anyhow
        colours.sort(key=sum, reverse=rng.random() < 0.35)
    return tuple(colours)


_VARIATIONS: tuple[Callable[[random.Random], dict[str, Any]], ...] = (
    lambda rng: {"blur_px": rng.uniform(0.5, 1.8)},
    lambda rng: {"levels": rng.randint(2, 5)},
    lambda rng: {"palette": _palette(rng)},
    lambda rng: {"palette": _palette(rng), "only_outlines": True, **_lines(rng)},
    lambda rng: {"line_colour": _colour(rng, 0, rng.choice((80, 255))), **_lines(rng)},
    lambda rng: {"cell_px": rng.randint(3, 9), "gap": rng.choice((0.0, rng.uniform(0.3, 1)))},
    lambda rng: {**_hatch(rng), "hatch_in_shadow": rng.random() < 0.4},
    lambda rng: {"grain": rng.uniform(6, 28)},
    lambda rng: {"shift_px": (rng.randint(-7, 7), rng.choice((0, rng.randint(-7, 7))))},
)
"""Ways to move a look away from the plain one, each with its own strength."""


def _lines(rng: random.Random) -> dict[str, Any]:
    line_px = rng.uniform(0.3, 1.6)
    return {"line_px": line_px, "line_gain": rng.uniform(2, 7) * (1 + line_px) / 2}


def _hatch(rng: random.Random) -> dict[str, Any]:
    return {
        "hatch_px": rng.uniform(3, 12),
        "hatch_deg": rng.choice((0.0, 90.0, rng.uniform(0, 180))),
        "hatch_share": rng.uniform(0.2, 0.6),
        "hatch_strength": rng.uniform(0.3, 1),
        "hatch_colour": rng.choice(((0, 0, 0), (255, 255, 255), _colour(rng))),
    }


@cache
def _probes() -> tuple[tuple[Image.Image, tuple[tuple[Floats, float], ...]], ...]:
    """Two plain pictures; for each what every held-out effect makes of it, and how far that is from it."""
    scenes = (Scene((Thing("fox", "noto"),), "yellow", "large"), Scene((Thing("castle", "twemoji"),), "blue"))
    probes = []
    for picture in (draw(scene, demo_sprites()) for scene in scenes):
        drawn = [np.asarray(effect(picture), np.float32) for effect in HELD_OUT_EFFECTS.values()]
        probes.append((picture, tuple((values, _distance(values, picture)) for values in drawn)))
    return tuple(probes)


def _distance(values: Floats, picture: Image.Image) -> float:
    return float(np.abs(values - np.asarray(picture, np.float32)).mean())


def near_held_out(look: Look) -> bool:
    """Whether a look makes nearly the same of some picture as a held-out effect does."""
    return any(
        _distance(values, redraw(picture, look)) < NEAREST_TO_HELD_OUT * moved
        for picture, effects in _probes()
        for values, moved in effects
    )


def nearest_colour(colour: RGB) -> str:
    """The word of the world for a colour."""
    return min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(COLOURS[name], colour, strict=True)))


def describe_look(look: Look, rng: random.Random) -> str:
    """Name some of what sets a look apart, in up to three words or colours; at least one."""
    plain = Look()
    moved = {each.name for each in fields(Look) if getattr(look, each.name) != getattr(plain, each.name)}
    words = {
        "blur_px": "blurred", "levels": "flat", "grain": "grainy", "shift_px": "shifted",
        "hatch_px": "hatched" if look.hatch_deg % 90 else "lined", "line_gain": "outlined",
        "cell_px": "tiled" if look.gap else "pixel art",
    }  # fmt: skip
    said = [word for name, word in words.items() if name in moved and not (name == "line_gain" and look.only_outlines)]
    rng.shuffle(said)
    if look.palette:
        kind = "sketch" if look.only_outlines else "duotone"
        first, last = nearest_colour(look.palette[0]), nearest_colour(look.palette[-1])
        said.insert(0, f"{first} and {last} {kind}")
    return " ".join(said[: rng.randint(1, 2)])
