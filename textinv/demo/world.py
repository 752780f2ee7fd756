"""The world of the demo base: scenes of emoji artwork with their captions and their ground truth.

Owns what a scene is, how it is drawn and how it is described. A scene holds everything that was decided about a
picture, so a test can ask whether a drawn concept has the right hue, pattern or style. Does not know latents, models
or files.
"""

import colorsys
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textinv.demo import effects
from textinv.demo.icons import SPRITE_PX, STYLE_WORDS, Sprite, Sprites

PICTURE_PX = 64

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "black": (20, 20, 20),
    "gray": (128, 128, 128),
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (250, 220, 60),
    "green": (50, 170, 70),
    "blue": (50, 90, 220),
    "purple": (140, 60, 180),
    "pink": (245, 160, 200),
}
"""Background and pattern colours, RGB."""

HUE_WORDS = (
    ("red", 0), ("orange", 30), ("yellow", 55), ("green", 120), ("teal", 175), ("blue", 220), ("purple", 275),
    ("pink", 325), ("red", 360),
)  # fmt: skip
"""Word for a dominant hue, and its angle in degrees."""

PATTERNS = ("striped", "dotted", "checkered")
SIZES_PX = {"tiny": 24, "small": 36, "normal": 54, "large": 64}
PAIR_PX = 31


@dataclass(frozen=True)
class Thing:
    """One object as it is drawn: which artwork, and what was done to it."""

    object: str
    style: str
    hue_deg: float = 0.0
    pattern: str | None = None
    pattern_colour: str = "white"
    pattern_period_px: int = 6
    stretch: float = 1.0
    """Width over height; 1 leaves the artwork as it is."""
    mirrored: bool = False


@dataclass(frozen=True)
class Scene:
    """One picture: one thing, or two side by side, on a background, drawn plainly or through an effect."""

    things: tuple[Thing, ...]
    background: str = "white"
    size: str = "normal"
    effect: str | None = None
    effect_colours: tuple[str, str] = ("black", "white")
    offsets_px: tuple[tuple[float, float], ...] = field(default=((0.0, 0.0), (0.0, 0.0)))


def hue_word(rgba: NDArray[np.float32]) -> str | None:
    """Name the dominant hue of a sprite, or None where there is none (grey, or many colours)."""
    pixels = rgba[rgba[..., 3] > 128][:, :3] / 255.0
    if len(pixels) == 0:
        return None
    saturation = pixels.max(1) - pixels.min(1)
    weight = saturation * (saturation > 0.25)
    if weight.sum() < 0.12 * len(pixels):
        return None
    hues = np.deg2rad([colorsys.rgb_to_hsv(*pixel)[0] * 360 for pixel in pixels[::7]])
    weight = weight[::7]
    x, y = (weight * np.cos(hues)).sum(), (weight * np.sin(hues)).sum()
    if np.hypot(x, y) / (weight.sum() + 1e-9) < 0.55:
        return None
    angle = np.rad2deg(np.arctan2(y, x)) % 360
    return min(HUE_WORDS, key=lambda entry: abs(entry[1] - angle))[0]


def rotate_hue(rgb: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Rotate hues by `degrees` at constant luma (the usual YIQ rotation matrix); values stay in [0, 255]."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    matrix = np.array(
        [
            [0.299 + 0.701 * c + 0.168 * s, 0.587 - 0.587 * c + 0.330 * s, 0.114 - 0.114 * c - 0.497 * s],
            [0.299 - 0.299 * c - 0.328 * s, 0.587 + 0.413 * c + 0.035 * s, 0.114 - 0.114 * c + 0.292 * s],
            [0.299 - 0.300 * c + 1.250 * s, 0.587 - 0.588 * c - 1.050 * s, 0.114 + 0.886 * c - 0.203 * s],
        ],
        dtype=np.float32,
    )  # fmt: skip
    return np.asarray(np.clip(rgb @ matrix.T, 0, 255), np.float32)


def _pattern_mask(kind: str, period: int) -> NDArray[np.bool_]:
    y, x = np.mgrid[:SPRITE_PX, :SPRITE_PX]
    if kind == "striped":
        mask = ((x + y) // period) % 2 == 0
    elif kind == "checkered":
        mask = (x // period + y // period) % 2 == 0
    else:
        mask = (x % (2 * period) - period) ** 2 + (y % (2 * period) - period) ** 2 < (0.75 * period) ** 2
    return np.asarray(mask)


def draw_thing(thing: Thing, sprite: Sprite) -> Image.Image:
    """Draw one thing as an RGBA picture of at most `SPRITE_PX` on each side."""
    rgba = sprite.astype(np.float32)
    if thing.hue_deg:
        rgba[..., :3] = rotate_hue(rgba[..., :3], thing.hue_deg)
    if thing.pattern:
        mask = _pattern_mask(thing.pattern, thing.pattern_period_px)[..., None]
        colour = np.array(COLOURS[thing.pattern_colour], np.float32)
        rgba[..., :3] = np.where(mask, 0.35 * rgba[..., :3] + 0.65 * colour, rgba[..., :3])
    if thing.mirrored:
        rgba = rgba[:, ::-1]
    picture = Image.fromarray(rgba.clip(0, 255).astype(np.uint8))
    if thing.stretch > 1:
        picture = picture.resize((SPRITE_PX, round(SPRITE_PX / thing.stretch)), Image.Resampling.BILINEAR)
    elif thing.stretch < 1:
        picture = picture.resize((round(SPRITE_PX * thing.stretch), SPRITE_PX), Image.Resampling.BILINEAR)
    return picture


def _place(canvas: Image.Image, picture: Image.Image, size_px: int, x: float, y: float) -> None:
    scale = size_px / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    canvas.paste(picture, (round(x - width / 2), round(y - height / 2)), picture)


def draw(scene: Scene, sprites: Sprites) -> Image.Image:
    """Draw a scene as an RGB picture, `PICTURE_PX` square. Raises `KeyError` for artwork that `sprites` lacks."""
    pictures = [draw_thing(thing, sprites[thing.style, thing.object]) for thing in scene.things]
    if scene.effect == "silhouette":
        colour = COLOURS["white" if scene.background == "black" else "black"]
        pictures = [effects.fill(picture, colour) for picture in pictures]
    canvas = Image.new("RGB", (PICTURE_PX, PICTURE_PX), COLOURS[scene.background])
    for place, (picture, (dx, dy)) in enumerate(zip(pictures, scene.offsets_px, strict=False)):
        if len(pictures) == 1:
            _place(canvas, picture, SIZES_PX[scene.size], PICTURE_PX / 2 + dx, PICTURE_PX / 2 + dy)
        else:
            _place(canvas, picture, PAIR_PX, PICTURE_PX * (1 + 2 * place) / 4 + dx, PICTURE_PX / 2 + dy)
    first, second = (COLOURS[name] for name in scene.effect_colours)
    return effects.apply(canvas, scene.effect, first, second)


@dataclass(frozen=True)
class Odds:
    """How often each property of a scene is drawn; probabilities in [0, 1]."""

    hue: float = 0.45
    stretch: float = 0.12
    mirrored: float = 0.1
    pattern: float = 0.12
    coloured_background: float = 0.55
    effect: float = 0.12
    two: float = 0.2
    same_two: float = 0.4
    tiny: float = 0.02
    small: float = 0.1
    large: float = 0.12


@dataclass(frozen=True)
class World:
    """Which artwork and effects exist, and how often each property is drawn."""

    sprites: Sprites
    objects: Sequence[str]
    styles: Sequence[str]
    effects: Sequence[str] = ("pixel art", "sketch", "silhouette")
    odds: Odds = Odds()

    def sample(self, rng: random.Random) -> tuple[Scene, str]:
        """Draw one scene and one caption of it."""
        odds = self.odds
        background = rng.choice(list(COLOURS)) if rng.random() < odds.coloured_background else "white"
        effect = rng.choice(list(self.effects)) if rng.random() < odds.effect else None
        first = self.sample_thing(rng)
        if rng.random() < odds.two:
            second = first if rng.random() < odds.same_two else self.sample_thing(rng)
            offsets = tuple((rng.uniform(-1, 1), rng.uniform(-4, 4)) for _ in range(2))
            scene = Scene((first, second), background, "normal", effect, offsets_px=offsets)
        else:
            size = self._sample_size(rng)
            margin = (PICTURE_PX - SIZES_PX[size]) / 2
            offset = (rng.uniform(-0.6, 0.6) * margin, rng.uniform(-0.6, 0.6) * margin)
            scene = Scene((first,), background, size, effect, offsets_px=(offset,))
        if effect == "duotone":
            dark, light = rng.sample(list(COLOURS), 2)
            scene = replace(scene, effect_colours=(dark, light))
        return scene, self.caption(scene, rng)

    def sample_thing(self, rng: random.Random) -> Thing:
        """Draw one thing: any artwork of this world, possibly recoloured, patterned, stretched or mirrored."""
        odds = self.odds
        while (key := (rng.choice(list(self.styles)), rng.choice(list(self.objects)))) not in self.sprites:
            pass
        return Thing(
            object=key[1],
            style=key[0],
            hue_deg=rng.uniform(20, 340) if rng.random() < odds.hue else 0.0,
            pattern=rng.choice(PATTERNS) if rng.random() < odds.pattern else None,
            pattern_colour=rng.choice(list(COLOURS)),
            pattern_period_px=rng.choice([5, 6, 8]),
            stretch=rng.uniform(0.6, 1.6) if rng.random() < odds.stretch else 1.0,
            mirrored=rng.random() < odds.mirrored,
        )

    def _sample_size(self, rng: random.Random) -> str:
        odds, draw = self.odds, rng.random()
        for size, chance in (("tiny", odds.tiny), ("small", odds.small), ("large", odds.large)):
            if draw < chance:
                return size
            draw -= chance
        return "normal"

    def describe_thing(self, thing: Thing, rng: random.Random) -> str:
        """Describe a thing without its article, leaving out properties now and then: `teal dotted noto fox`."""
        words = []
        if thing.stretch > 1.25 and rng.random() < 0.8:
            words.append("wide")
        if thing.stretch < 0.8 and rng.random() < 0.8:
            words.append("thin")
        if thing.pattern and rng.random() < 0.9:
            words.append(thing.pattern if rng.random() < 0.4 else f"{thing.pattern_colour} {thing.pattern}")
        if rng.random() < (0.85 if thing.hue_deg else 0.1):
            rgba = self.sprites[thing.style, thing.object].astype(np.float32)
            rgba[..., :3] = rotate_hue(rgba[..., :3], thing.hue_deg)
            if colour := hue_word(rgba):
                words.append(colour)
        if rng.random() < 0.4 and thing.style in STYLE_WORDS:
            words.append(STYLE_WORDS[thing.style])
        return " ".join([*words, thing.object.replace("-", " ")])

    def caption(self, scene: Scene, rng: random.Random) -> str:
        """Describe a scene in one of several wordings; a few captions are empty."""
        first = self.describe_thing(scene.things[0], rng)
        if len(scene.things) == 2:
            same = scene.things[0] == scene.things[1]
            text = f"two {first}" if same else f"{a(first)} and {a(self.describe_thing(scene.things[1], rng))}"
        else:
            if scene.size != "normal" and rng.random() < 0.9:
                first = f"{scene.size} {first}"
            wordings = (a(first), first, f"a photo of {a(first)}", f"an emoji of {a(first)}")
            text = rng.choices(wordings, (50, 20, 15, 15))[0]
        plain = scene.effect not in ("sketch", "neon", "duotone")  # those hide the background's colour
        if plain and rng.random() < (0.9 if scene.background != "white" else 0.3):
            text += f" on {a(scene.background)} background"
        if scene.effect:
            effect = scene.effect
            if effect == "duotone":
                effect = f"{scene.effect_colours[0]} and {scene.effect_colours[1]} duotone"
            text = f"{a(effect)} of {text}" if rng.random() < 0.5 else f"{text} in {effect} style"
        return "" if rng.random() < 0.02 else text


def a(words: str) -> str:
    """Put the indefinite article before `words`."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
