"""Which looks are drawn, and what is said of them.

Owns drawing one at random and describing it. The held-out effects lie within what the space of looks spans, so no look
is drawn that comes near one of them: `near_held_out` compares what the two make of the same pictures.
"""

import random
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from textinv.demo.artwork import demo_sprites
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS, RGB
from textinv.demo.making.looks import Floats, Look, redraw
from textinv.demo.world import COLOURS, Scene, Thing, draw

NEAREST_TO_HELD_OUT = 0.4
"""How far a look keeps from a held-out effect, as a share of how far the effect moves a picture."""
_PALETTE_SPAN = 90
"""By how much the first and last colour of a palette differ at least in some channel."""


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
