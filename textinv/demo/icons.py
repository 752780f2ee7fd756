"""Emoji artwork as sprites: square RGBA pictures of single objects, by name and drawing style.

Owns reading the icon packages of the npm registry, rendering them, and the lists of what is trained and what is
held out. Does not know composition, captions or training.

Packages and licences: `@iconify-json/noto` and `noto-v1` (Apache-2.0, Google), `twemoji` and `emojione` (CC BY 4.0,
Twitter / jdecked and EmojiOne), `fluent-emoji-flat` (MIT, Microsoft), `fxemoji` (Apache-2.0, Mozilla).
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SPRITE_PX = 72
"""Side of a sprite; the longer side of the artwork fills it."""

STYLE_WORDS: Mapping[str, str] = {
    "noto": "noto",
    "twemoji": "twitter",
    "fluent-emoji-flat": "fluent",
    "emojione": "emojione",
    "noto-v1": "blob",
}
"""Icon package -> the word that names its drawing style in a caption."""

UNET_STYLES = ("noto", "twemoji", "fluent-emoji-flat")
"""The styles the base is measured by: most of what the UNet is trained on; all parts have seen all of `STYLE_WORDS`."""

HELD_OUT_STYLE = "fxemoji"
"""The package that no part of the base model has seen."""

OBJECTS = tuple(
    """fox owl crab panda lion horse penguin octopus rabbit frog turtle elephant butterfly snail snake spider koala
    shark duck tropical-fish lady-beetle rocket tractor sailboat airplane bicycle locomotive helicopter racing-car
    castle house church tent banana strawberry pineapple carrot pizza hamburger ice-cream mushroom doughnut watermelon
    grapes lemon avocado birthday-cake cookie taco sunflower cactus palm-tree rose christmas-tree maple-leaf camera
    crown key anchor balloon gem-stone soccer-ball snowman teapot bomb hammer scissors candle trophy light-bulb glasses
    television wrapped-gift t-shirt megaphone""".split()
)
"""The objects the base is measured by: most of what the UNet is trained on."""

HELD_OUT_OBJECTS = tuple(
    """baguette-bread bikini bowling bread briefcase cat cherries credit-card derelict-house diamond-suit drum
    evergreen-tree fallen-leaf fireworks fried-shrimp funeral-urn guitar high-voltage hot-pepper ice-hockey level-slider
    link locked microphone minibus motorway necktie optical-disk paperclip pencil red-apple rosette scorpion shortcake
    shrimp speedboat stadium stopwatch synagogue telephone-receiver tennis trumpet tulip umbrella unlocked videocassette
    violin water-buffalo""".split()
)
"""Objects that no part of the base model has seen, in any style."""

PACKAGES: Mapping[str, str] = {
    "noto": "1.2.9",
    "noto-v1": "1.2.5",
    "twemoji": "1.2.5",
    "emojione": "1.2.3",
    "fluent-emoji-flat": "1.2.6",
    "fxemoji": "1.2.2",
}
"""Icon package -> the version that the base was made from; the npm name is `@iconify-json/<package>`."""

_CATEGORIES = ("Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places")
_UNCLEAR = re.compile(
    "clock|oclock|moon|thirty|person|woman|man-|japanese|button|globe-showing|sunrise|sunset|night-|cityscape|mark$|"
    "face-with|playing|joker|mahjong|flower-cards|trackball|keycap|medal|speaker|bookmark|no-|calendar|chart|mailbox|"
    "lantern$"
)
"""Names of pictures that cannot be told apart, or that show people, signs or text."""

Sprite = NDArray[np.uint8]
"""`(SPRITE_PX, SPRITE_PX, 4)` RGBA."""
Sprites = Mapping[tuple[str, str], Sprite]
"""`(style, object)` -> sprite."""


def render_packages(packages: Iterable[Path], objects: Iterable[str]) -> Iterator[tuple[tuple[str, str], Sprite]]:
    """Render each of `objects` that a package holds.

    `packages` are unpacked `@iconify-json/*` folders (each with `icons.json`). Objects that a package lacks, and SVG
    bodies that cannot be rendered, are left out.
    """
    wanted = list(objects)
    for package in packages:
        icons = json.loads((package / "icons.json").read_text())
        for name in wanted:
            if icon := icons["icons"].get(name):
                width = icon.get("width", icons.get("width", 16))
                height = icon.get("height", icons.get("height", 16))
                if (sprite := _render(icon["body"], width, height)) is not None:
                    yield (icons["prefix"], name), sprite


def drawable_objects(packages: Iterable[Path]) -> list[str]:
    """Names of things, of one or two words, that every style of `UNET_STYLES` has.

    The CLIP and the VAE learn from them. Held-out objects are among them: whoever trains leaves them out.
    """
    folders = {json.loads((package / "icons.json").read_text())["prefix"]: package for package in packages}
    categories = json.loads((folders["noto"] / "metadata.json").read_text())["categories"]
    things = {name for category in _CATEGORIES for name in categories[category]}
    for style in UNET_STYLES:
        things &= set(json.loads((folders[style] / "icons.json").read_text())["icons"])
    return sorted(name for name in things if name.count("-") <= 1 and not _UNCLEAR.search(name))


def _render(body: str, width: float, height: float) -> Sprite | None:
    from resvg_py import svg_to_bytes  # only the makers of pictures need it

    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{2 * SPRITE_PX}" height="{2 * SPRITE_PX}">{body}</svg>'
    )
    try:
        picture = Image.open(io.BytesIO(bytes(svg_to_bytes(svg_string=svg)))).convert("RGBA")
    except (ValueError, RuntimeError):
        return None
    picture = picture.resize((SPRITE_PX, SPRITE_PX), Image.Resampling.LANCZOS)
    box = picture.getbbox()
    if box is None:
        return None
    picture = picture.crop(box)
    scale = SPRITE_PX / max(picture.size)
    width_px, height_px = (max(1, round(side * scale)) for side in picture.size)
    picture = picture.resize((width_px, height_px), Image.Resampling.LANCZOS)
    canvas = Image.new("RGBA", (SPRITE_PX, SPRITE_PX))
    canvas.paste(picture, ((SPRITE_PX - width_px) // 2, (SPRITE_PX - height_px) // 2))
    return np.asarray(canvas)


def save_sprites(sprites: Sprites, path: Path) -> None:
    """Write sprites as one compressed `.npz`, readable by `load_sprites`."""
    keys = sorted(sprites)
    np.savez_compressed(
        path,
        sprites=np.stack([sprites[key] for key in keys]),
        styles=np.array([style for style, _ in keys]),
        objects=np.array([name for _, name in keys]),
    )


def load_sprites(path: Path) -> Sprites:
    """Read what `save_sprites` wrote."""
    with np.load(path) as stored:
        keys = zip(stored["styles"].tolist(), stored["objects"].tolist(), strict=True)
        return dict(zip(keys, stored["sprites"], strict=True))
