"""The artwork that ships with the package, and the world built from it.

Owns which sprites are shipped and how they are found. Does not know how they were rendered (`icons`) nor what is
composed from them (`world`). Licences and attribution lie beside the file, in `SPRITES-LICENSES.md`.
"""

from functools import cache
from pathlib import Path

import numpy as np

from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS, UNET_STYLES, Sprites, load_sprites
from textinv.demo.world import World

SPRITES = Path(__file__).parent / "sprites.npz"


@cache
def demo_sprites() -> Sprites:
    """The shipped sprites.

    Trained objects in `UNET_STYLES`, held-out objects in every style, and all of `HELD_OUT_STYLE`.
    """
    return load_sprites(SPRITES)


def default_world() -> World:
    """The world that the demo base's UNet was trained on."""
    return World(demo_sprites(), OBJECTS, UNET_STYLES)


def shipped_subset(sprites: Sprites) -> Sprites:
    """Keep of `sprites` what ships with the package; colours under fully transparent pixels become zero."""
    return {
        (style, name): np.where(sprite[..., 3:] > 0, sprite, 0).astype(np.uint8)
        for (style, name), sprite in sprites.items()
        if (name in OBJECTS and style in UNET_STYLES) or name in HELD_OUT_OBJECTS or style == HELD_OUT_STYLE
    }
