"""Sprites from the icon packages of the npm registry.

Owns which packages and which of their icons, rendering them, and which sprites ship with the demo. Does not know
fetching packages, nor what is composed of sprites.
"""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS, SPRITE_PX, UNET_STYLES, Sprite, Sprites

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
    """Write sprites as one compressed `.npz`, readable by `icons.load_sprites`."""
    keys = sorted(sprites)
    np.savez_compressed(
        path,
        sprites=np.stack([sprites[key] for key in keys]),
        styles=np.array([style for style, _ in keys]),
        objects=np.array([name for _, name in keys]),
    )


def shipped_subset(sprites: Sprites) -> Sprites:
    """Keep of `sprites` what ships with the package; colours under fully transparent pixels become zero."""
    return {
        (style, name): np.where(sprite[..., 3:] > 0, sprite, 0).astype(np.uint8)
        for (style, name), sprite in sprites.items()
        if (name in OBJECTS and style in UNET_STYLES) or name in HELD_OUT_OBJECTS or style == HELD_OUT_STYLE
    }
