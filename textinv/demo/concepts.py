"""Concepts that the demo base has never seen, in three tiers, each with its ground truth.

Owns the list: names, what each concept is, the word it starts from and the best plain description of it. Does not know
how its pictures are composed (`concept_pictures`) nor how anything is learned.

- particular thing: an object that the base knows, in a hue, a pattern and a shape that a few words only half say;
- held-out object: an object that no part of the base has seen;
- held-out style: a way of drawing that no part of the base has seen, shown on several objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from textinv.demo.icons import HELD_OUT_STYLE
from textinv.demo.world import Thing

Tier = Literal["particular-thing", "held-out-object", "held-out-style"]
TIERS: tuple[Tier, ...] = get_args(Tier)


@dataclass(frozen=True)
class DemoConcept:
    """One concept to teach the demo base, and what is true about it."""

    name: str
    tier: Tier
    class_word: str
    """What kind of thing it is, in a word that the base knows."""
    initializer: str
    """The plain word that a person would start from, and draw with before anything is learned."""
    description: str
    """The best that can be typed instead of the learned word."""
    things: tuple[Thing, ...]
    """What its pictures show: one thing, or for a style the things that are drawn in it."""
    effect: str | None = None
    """For a style: the effect that its pictures are drawn through."""

    @property
    def kind(self) -> Literal["object", "style"]:
        """How a manifest calls it."""
        return "style" if self.tier == "held-out-style" else "object"


def _particular(
    name: str,
    description: str,
    style: str,
    object_: str,
    hue_deg: float = 0.0,
    pattern: tuple[str | None, str, int] = (None, "white", 6),
    stretch: float = 1.0,
) -> DemoConcept:
    kind, colour, period_px = pattern
    thing = Thing(object_, style, hue_deg, kind, colour, period_px, stretch)
    return DemoConcept(name, "particular-thing", object_, object_, description, (thing,))


def _held_out(name: str, initializer: str, description: str, style: str) -> DemoConcept:
    return DemoConcept(name, "held-out-object", initializer, initializer, description, (Thing(name, style),))


_STYLE_OBJECTS = """fox rocket banana frog castle penguin rose pineapple octopus owl house teapot""".split()
_FXEMOJI_OBJECTS = """banana frog rocket penguin rose octopus tractor koala mushroom trophy cactus helicopter""".split()


def _drawn_through(effect: str, initializer: str, description: str) -> DemoConcept:
    things = tuple(Thing(name, "noto") for name in _STYLE_OBJECTS)
    name = f"{effect.replace(' ', '-')}-style"
    return DemoConcept(name, "held-out-style", "sketch", initializer, description, things, effect)


CONCEPTS: Sequence[DemoConcept] = (
    _particular("dotty-fox", "yellow dotted teal noto fox", "noto", "fox", 190, pattern=("dotted", "yellow", 6)),
    _particular("candy-rocket", "thin pink striped twitter rocket", "twemoji", "rocket",
                pattern=("striped", "pink", 6), stretch=0.7),
    _particular("wide-owl", "wide blue fluent owl", "fluent-emoji-flat", "owl", 150, stretch=1.45),
    _particular("checkered-panda", "green checkered noto panda", "noto", "panda", pattern=("checkered", "green", 8)),
    _particular("striped-frog", "orange striped purple noto frog", "noto", "frog", 165,
                pattern=("striped", "orange", 8)),
    _particular("pink-pineapple", "pink twitter pineapple", "twemoji", "pineapple", 80),
    _particular("blue-banana", "white dotted blue noto banana", "noto", "banana", 170, pattern=("dotted", "white", 6)),
    _particular("wide-octopus", "wide green fluent octopus", "fluent-emoji-flat", "octopus", 230, stretch=1.4),
    _particular("striped-teapot", "blue striped purple noto teapot", "noto", "teapot", 60,
                pattern=("striped", "blue", 8)),
    _particular("tall-crab", "thin purple twitter crab", "twemoji", "crab", 85, stretch=0.65),
    _particular("mint-castle", "pink striped green noto castle", "noto", "castle", 250, pattern=("striped", "pink", 8)),
    _particular("dotty-turtle", "white dotted orange fluent turtle", "fluent-emoji-flat", "turtle", 120,
                pattern=("dotted", "white", 8)),
    _particular("orange-snowman", "orange striped noto snowman", "noto", "snowman", pattern=("striped", "orange", 8)),
    _held_out("guitar", "hammer", "red hammer", "noto"),
    _held_out("umbrella", "mushroom", "purple mushroom", "twemoji"),
    _held_out("drum", "birthday cake", "red birthday cake", "noto"),
    _held_out("cherries", "strawberry", "two red strawberry", "noto"),
    _held_out("cat", "fox", "yellow fox", "noto"),
    _held_out("tulip", "rose", "pink rose", "fluent-emoji-flat"),
    _held_out("minibus", "racing car", "blue tractor", "fluent-emoji-flat"),
    _held_out("scorpion", "crab", "red crab", "noto"),
    _held_out("trumpet", "megaphone", "orange megaphone", "twemoji"),
    _held_out("evergreen-tree", "christmas tree", "green christmas tree", "noto"),
    _held_out("speedboat", "sailboat", "red sailboat", "fluent-emoji-flat"),
    _held_out("locked", "key", "yellow key", "noto"),
    _held_out("pencil", "carrot", "thin yellow carrot", "fluent-emoji-flat"),
    DemoConcept(
        "fxemoji-style", "held-out-style", "noto", "fluent", "fluent",
        tuple(Thing(name, HELD_OUT_STYLE) for name in _FXEMOJI_OBJECTS),
    ),
    _drawn_through("blueprint", "sketch", "white and blue sketch"),
    _drawn_through("chalkboard", "sketch", "white and green sketch"),
    _drawn_through("thermal", "silhouette", "orange and purple silhouette"),
    _drawn_through("sepia", "sketch", "orange and black sketch"),
    _drawn_through("x-ray", "silhouette", "teal and black silhouette"),
    _drawn_through("sunset", "silhouette", "purple and orange silhouette"),
    _drawn_through("night vision", "silhouette", "green and black silhouette"),
    _drawn_through("pop art", "silhouette", "pink and yellow silhouette"),
    _drawn_through("mosaic", "pixel art", "black checkered pixel art"),
    _drawn_through("scan lines", "pixel art", "black striped pixel art"),
    _drawn_through("ink wash", "sketch", "gray silhouette"),
    _drawn_through("stained glass", "pixel art", "black pixel art"),
    _drawn_through("glitch", "pixel art", "red and blue pixel art"),
)  # fmt: skip
"""All concepts, tier by tier; names are unique."""


def concepts_of(tier: Tier) -> list[DemoConcept]:
    """The concepts of one tier."""
    return [concept for concept in CONCEPTS if concept.tier == tier]


def find_concept(name: str) -> DemoConcept:
    """Find a concept by name. Raises `KeyError` for an unknown one."""
    return {concept.name: concept for concept in CONCEPTS}[name]
