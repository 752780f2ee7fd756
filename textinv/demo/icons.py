"""Emoji artwork as sprites: square RGBA pictures of single objects, by name and drawing style.

Owns the lists of what is trained and what is held out, and reading sprites. Does not know composition, captions or
training, nor how sprites were rendered.

Packages and licences: `@iconify-json/noto` and `noto-v1` (Apache-2.0, Google), `twemoji` and `emojione` (CC BY 4.0,
Twitter / jdecked and EmojiOne), `fluent-emoji-flat` (MIT, Microsoft), `fxemoji` (Apache-2.0, Mozilla).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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

Sprite = NDArray[np.uint8]
"""`(SPRITE_PX, SPRITE_PX, 4)` RGBA."""
Sprites = Mapping[tuple[str, str], Sprite]
"""`(style, object)` -> sprite."""


def load_sprites(path: Path) -> Sprites:
    """Read the sprites of one file."""
    with np.load(path) as stored:
        keys = zip(stored["styles"].tolist(), stored["objects"].tolist(), strict=True)
        return dict(zip(keys, stored["sprites"], strict=True))
