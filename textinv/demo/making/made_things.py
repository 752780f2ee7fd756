"""Things that no word names: shapes, creatures of shapes, pieces and mixtures of artwork, and more patterns.

Owns making a sprite from nothing or from other sprites, each with the words that are true of it. Between the things
that have names lie these, so that a learned word can stand for what is new. Does not know scenes or captions.
"""

import random
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from textinv.demo.icons import SPRITE_PX, Sprite
from textinv.demo.making.drawn_looks import nearest_colour
from textinv.demo.world import COLOURS

RGB = tuple[int, int, int]
Points = list[tuple[float, float]]
_Places = NDArray[np.float64]

_DRAWN_PX = 2 * SPRITE_PX
"""Shapes are drawn this large and made smaller, which softens their edges."""


def fit(picture: Image.Image) -> Sprite | None:
    """Cut an RGBA picture to what is visible and make that a sprite; None where nothing is."""
    box = picture.getchannel("A").point(lambda alpha: 255 * (alpha > 16)).getbbox()
    if box is None or min(box[2] - box[0], box[3] - box[1]) < 3:
        return None
    picture = picture.crop(box)
    scale = SPRITE_PX / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    canvas = Image.new("RGBA", (SPRITE_PX, SPRITE_PX))
    place = ((SPRITE_PX - width) // 2, (SPRITE_PX - height) // 2)
    canvas.paste(picture.resize((width, height), Image.Resampling.LANCZOS), place)
    return np.asarray(canvas)


def _polygon(corners: int, inner: float = 1.0) -> Points:
    """Corners on the unit circle; `inner` pulls every second of twice as many inwards, which makes a star."""
    radii = (1.0,) if inner == 1 else (1.0, inner)
    angles = np.linspace(0, 2 * np.pi, corners * len(radii), endpoint=False) - np.pi / 2
    return [(np.cos(angle) * radii[i % len(radii)], np.sin(angle) * radii[i % len(radii)])
            for i, angle in enumerate(angles)]  # fmt: skip


def _blob(rng: random.Random) -> Points:
    waves = [(rng.uniform(0, 0.25), rng.uniform(0, 2 * np.pi)) for _ in range(3)]
    points = []
    for angle in np.linspace(0, 2 * np.pi, 48, endpoint=False):
        radius = 0.75 + sum(size * np.sin((n + 2) * angle + phase) for n, (size, phase) in enumerate(waves))
        points.append((radius * np.cos(angle), radius * np.sin(angle)))
    return points


_SHAPES: dict[str, Callable[[random.Random], Points]] = {
    "circle": lambda rng: _polygon(40),
    "square": lambda rng: [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": lambda rng: _polygon(3),
    "star": lambda rng: _polygon(rng.randint(4, 8), rng.uniform(0.35, 0.65)),
    "cross": lambda rng: _cross(rng.uniform(0.2, 0.4)),
    "blob": _blob,
    "bar": lambda rng: _bar(rng.uniform(0.15, 0.4)),
    "ring": lambda rng: _ring(rng.uniform(0.4, 0.7)),
    "moon": lambda rng: _moon(rng.uniform(0.3, 0.9)),
}
"""Name -> outline around the origin, about one in radius."""


def _cross(arm: float) -> Points:
    quarter = [(arm, -arm), (arm, -1.0), (-arm, -1.0)]
    turns = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)]
    return [(a * x + b * y, c * x + d * y) for a, b, c, d in turns for x, y in quarter]


def _bar(thickness: float) -> Points:
    return [(-1, -thickness), (1, -thickness), (1, thickness), (-1, thickness)]


def _ring(inner: float) -> Points:
    outer = [*_polygon(40), _polygon(40)[0]]
    return [*outer, *((inner * x, inner * y) for x, y in reversed(outer))]


def _moon(depth: float) -> Points:
    half = np.linspace(-np.pi / 2, np.pi / 2, 24)
    outside = [(float(np.cos(angle)), float(np.sin(angle))) for angle in half]
    return [*outside, *((depth * x, y) for x, y in reversed(outside))]


def _moved(points: Points, rng: random.Random, radius: float, centre: tuple[float, float], free: bool) -> Points:
    angle = rng.uniform(0, 2 * np.pi) if free else 0.0
    wide, high = (rng.uniform(0.5, 1.3), rng.uniform(0.5, 1.3)) if free else (1.0, 1.0)
    c, s = np.cos(angle), np.sin(angle)
    moved = [(wide * x, high * y) for x, y in points]
    return [(centre[0] + radius * (c * x - s * y), centre[1] + radius * (s * x + c * y)) for x, y in moved]


def _any_colour(rng: random.Random) -> RGB:
    if rng.random() < 0.5:
        return COLOURS[rng.choice(list(COLOURS))]
    red, green, blue = (rng.randint(0, 255) for _ in range(3))
    return red, green, blue


def make_shape(rng: random.Random) -> tuple[Sprite, str]:
    """One plain shape, with or without an outline, and its words: `red star`."""
    name, colour = rng.choice(list(_SHAPES)), _any_colour(rng)
    points = _moved(_SHAPES[name](rng), rng, 0.45 * _DRAWN_PX, (_DRAWN_PX / 2, _DRAWN_PX / 2), free=rng.random() < 0.3)
    picture = Image.new("RGBA", (_DRAWN_PX, _DRAWN_PX))
    ImageDraw.Draw(picture).polygon(points, fill=colour)
    if name != "ring" and rng.random() < 0.4:
        ImageDraw.Draw(picture).line([*points, points[0]], fill=_any_colour(rng), width=rng.randint(3, 12))
    sprite = fit(picture)
    return (sprite, f"{nearest_colour(colour)} {name}") if sprite is not None else make_shape(rng)


def make_creature(rng: random.Random) -> tuple[Sprite, str]:
    """Two to six shapes grown together, often alike on both sides; nothing but its main colour and "shape" names it."""
    picture, colours = Image.new("RGBA", (_DRAWN_PX, _DRAWN_PX)), [_any_colour(rng) for _ in range(3)]
    pen, mirrored = ImageDraw.Draw(picture), rng.random() < 0.6
    for part in range(rng.randint(2, 6)):
        radius = _DRAWN_PX * (rng.uniform(0.22, 0.35) if part == 0 else rng.uniform(0.05, 0.22))
        reach = 0.05 if part == 0 else 0.3
        centre = [_DRAWN_PX * (0.5 + rng.uniform(-reach, reach)) for _ in range(2)]
        points = _moved(_SHAPES[rng.choice(list(_SHAPES))](rng), rng, radius, (centre[0], centre[1]), free=True)
        fill = colours[0] if part == 0 else rng.choice(colours)
        pen.polygon(points, fill=fill)
        if mirrored:
            pen.polygon([(_DRAWN_PX - x, y) for x, y in points], fill=fill)
    sprite = fit(picture)
    return (sprite, f"{nearest_colour(colours[0])} shape") if sprite is not None else make_creature(rng)


def take_part(sprite: Sprite, name: str, rng: random.Random) -> tuple[Sprite, str]:
    """A piece of a thing: its top, bottom, left or right; whole where nothing is visible in it."""
    share, side = rng.uniform(0.4, 0.7), rng.choice(("top", "bottom", "left", "right"))
    cut = round(SPRITE_PX * share)
    boxes = {
        "top": (0, 0, SPRITE_PX, cut), "bottom": (0, SPRITE_PX - cut, SPRITE_PX, SPRITE_PX),
        "left": (0, 0, cut, SPRITE_PX), "right": (SPRITE_PX - cut, 0, SPRITE_PX, SPRITE_PX),
    }  # fmt: skip
    part = fit(Image.fromarray(sprite).crop(boxes[side]))
    return (sprite, name) if part is None else (part, f"{side} {name}")


def mix(first: tuple[Sprite, str], second: tuple[Sprite, str], rng: random.Random) -> tuple[Sprite, str]:
    """One thing's upper part on another's lower part, or a small one on a large one; named after both."""
    above, below = (Image.fromarray(sprite) for sprite, _ in (first, second))
    picture = Image.new("RGBA", (SPRITE_PX, SPRITE_PX))
    if rng.random() < 0.6:
        cut = round(SPRITE_PX * rng.uniform(0.35, 0.65))
        picture.paste(above.crop((0, 0, SPRITE_PX, cut)))
        picture.paste(below.crop((0, cut, SPRITE_PX, SPRITE_PX)), (0, cut))
    else:
        side = round(SPRITE_PX * rng.uniform(0.4, 0.6))
        picture.paste(below)
        small = above.resize((side, side), Image.Resampling.LANCZOS)
        picture.alpha_composite(small, (rng.randint(0, SPRITE_PX - side), rng.randint(0, SPRITE_PX - side)))
    mixed = fit(picture)
    return first if mixed is None else (mixed, f"{first[1]} {second[1]}")


def bend(sprite: Sprite, rng: random.Random) -> Sprite:
    """Turn, slant and stretch a sprite."""
    angle, slant = np.deg2rad(rng.uniform(-40, 40)), rng.choice((0.0, rng.uniform(-0.35, 0.35)))
    wide = rng.uniform(0.7, 1.4)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back = np.linalg.inv(matrix @ np.array([[wide, slant], [0, 1 / wide]])) * 1.5  # room at the edges
    middle = SPRITE_PX
    (a, b), (c, d) = back
    shift_x, shift_y = (SPRITE_PX / 2 - row @ np.array([middle, middle]) for row in back)
    bent = fit(
        Image.fromarray(sprite).transform(
            (2 * SPRITE_PX, 2 * SPRITE_PX), Image.Transform.AFFINE, (a, b, shift_x, c, d, shift_y),
            Image.Resampling.BILINEAR,
        )
    )  # fmt: skip
    return sprite if bent is None else bent


_PATTERNS: dict[str, Callable[[_Places, _Places, float], NDArray[np.bool_]]] = {
    "striped": lambda x, y, share: np.abs(x % 1 - 0.5) < share / 2,
    "checkered": lambda x, y, share: (x // 1 + y // 1) % 2 < 1,
    "dotted": lambda x, y, share: np.hypot(x % 1 - 0.5, y % 1 - 0.5) < 0.2 + 0.4 * share,
    "net": lambda x, y, share: np.minimum(np.abs(x % 1 - 0.5), np.abs(y % 1 - 0.5)) < 0.3 * share,
    "ring": lambda x, y, share: np.hypot(x, y) % 1 < share,
    "wave": lambda x, y, share: (x + 0.35 * np.sin(2 * np.pi * y / 2)) % 1 < share,
    "zigzag": lambda x, y, share: (x + 0.8 * np.abs(y % 1 - 0.5)) % 1 < share,
    "half": lambda x, y, share: x < 0,
}
"""Name -> where it covers, of places in units of its period around the middle."""


def cover(sprite: Sprite, rng: random.Random) -> tuple[Sprite, str]:
    """Cover a sprite with a pattern of any direction, width and colour; returns its words: `pink wave`."""
    name, colour, angle = rng.choice(list(_PATTERNS)), _any_colour(rng), rng.uniform(0, np.pi)
    period, strength = rng.uniform(6, 24), rng.uniform(0.5, 1)
    y, x = np.mgrid[:SPRITE_PX, :SPRITE_PX] - SPRITE_PX / 2 + rng.uniform(-4, 4)
    across, along = (x * np.cos(angle) + y * np.sin(angle)) / period, (y * np.cos(angle) - x * np.sin(angle)) / period
    covered = _PATTERNS[name](across, along, rng.uniform(0.3, 0.6))[..., None] * strength
    rgba = sprite.astype(np.float32)
    rgba[..., :3] += covered * (np.array(colour, np.float32) - rgba[..., :3])
    return rgba.clip(0, 255).astype(np.uint8), f"{nearest_colour(colour)} {name}"


def words_of(parts: Sequence[str]) -> str:
    """An object's name as `Thing.object` holds it."""
    return "-".join(" ".join(parts).split())
