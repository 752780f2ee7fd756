"""The artwork that ships with the package, and the world built from it.

Owns how they are found. Does not know how they were rendered (`making.rendering`) nor what is
composed from them (`world`). Licences and attribution lie beside the file, in `SPRITES-LICENSES.md`.
"""

from functools import cache
from pathlib import Path

from textinv.demo.icons import OBJECTS, UNET_STYLES, Sprites, load_sprites
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
