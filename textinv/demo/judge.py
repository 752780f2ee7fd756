"""The judge of the demo's world: what it is asked, and what is true of scenes and concepts.

Owns the questions (objects, trained and held out; drawing styles; hues; patterns; effects; backgrounds; counts), their
right answers, and how plainly pictures show a concept. Independent of the base's CLIP: trained on other pictures, from
nothing, by `train_judge`. Does not know how a judge works.
"""

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from textinv.demo import WEIGHTS
from textinv.demo.artwork import demo_sprites
from textinv.demo.concepts import DemoConcept
from textinv.demo.held_out_styles import HELD_OUT_EFFECTS
from textinv.demo.icons import HELD_OUT_OBJECTS, HELD_OUT_STYLE, OBJECTS, STYLE_WORDS
from textinv.demo.world import COLOURS, HUE_WORDS, PATTERNS, PICTURE_PX, Scene, Thing, hue_word, rotate_hue
from textinv.evaluation.classifier import ClassifierConfig
from textinv.evaluation.judge import Judge, share_of

JUDGE = WEIGHTS / "judge"
NONE = "none"

QUESTIONS: Mapping[str, tuple[str, ...]] = {
    "object": (*OBJECTS, *HELD_OUT_OBJECTS),
    "style": (*STYLE_WORDS, HELD_OUT_STYLE),
    "hue": (*dict(HUE_WORDS), NONE),
    "pattern": (*PATTERNS, NONE),
    "effect": (NONE, "pixel art", "sketch", "silhouette", *HELD_OUT_EFFECTS),
    "background": tuple(COLOURS),
    "count": ("one", "two"),
}
"""What the judge is asked of every picture, and the possible answers."""

CONFIG = ClassifierConfig(
    widths=(24, 48, 96, 192),
    size_px=PICTURE_PX,
    questions=dict(QUESTIONS),
    about={"object": ("object", "hue", "pattern"), "style": ("style", "effect")},
    says_nothing=(("effect", NONE),),
)
"""What is trained; the judge that ships has its own beside its weights."""


def score(judge: Judge, concept: DemoConcept, pixels_BHWC: NDArray[np.uint8]) -> float:
    """How plainly pictures show a concept: mean probability of everything that is true of it, in [0, 1]."""
    return share_of(judge.look(pixels_BHWC), concept_truth(concept))


def shows(judge: Judge, concept: DemoConcept, pixels_BHWC: NDArray[np.uint8]) -> float:
    """Share of pictures in which every likeliest answer is true of the concept."""
    truth, seen = concept_truth(concept), judge.look(pixels_BHWC)
    return float(np.mean([all(one.answer(name) == right for name, right in truth.items()) for one in seen]))


def concept_truth(concept: DemoConcept) -> dict[str, str]:
    """The answers that are right for every picture of a concept, as far as they set it apart."""
    thing = concept.things[0]
    if concept.tier == "held-out-style":
        return {"effect": concept.effect} if concept.effect else {"style": thing.style}
    if concept.tier == "held-out-object":
        return {"object": thing.object}
    return {"object": thing.object, "hue": thing_hue(thing), "pattern": thing.pattern or NONE}


def scene_truth(scene: Scene) -> dict[str, str]:
    """The right answers for a scene; what an effect hides is left out."""
    thing = scene.things[0]
    shape = {"object": thing.object, "effect": scene.effect or NONE, "count": ("one", "two")[len(scene.things) - 1]}
    if scene.effect:
        return shape
    look = {"style": thing.style, "hue": thing_hue(thing), "pattern": thing.pattern or NONE}
    return {**shape, **look, "background": scene.background}


def thing_hue(thing: Thing) -> str:
    """Word for the dominant hue of a thing's artwork, before any pattern."""
    return _hue(thing.style, thing.object, thing.hue_deg)


@cache
def _hue(style: str, name: str, degrees: float) -> str:
    rgba = demo_sprites()[style, name].astype(np.float32)
    rgba[..., :3] = rotate_hue(rgba[..., :3], degrees)
    return hue_word(rgba) or NONE
