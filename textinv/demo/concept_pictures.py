"""Pictures of concepts: what to train on and what to judge by, with their ground truth.

Owns composing them: training and evaluation pictures of a concept never share a composition, and those of a style
never share an object. Every picture is a function of (concept, purpose, seed, place in the list). Does not know models
or manifests.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from PIL import Image

from textinv.demo.artwork import demo_sprites
from textinv.demo.concepts import CONCEPTS, DemoConcept, Tier
from textinv.demo.icons import Sprites
from textinv.demo.world import PICTURE_PX, SIZES_PX, Scene, Thing, a, draw

Purpose = Literal["training", "evaluation"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

_COMPOSITIONS: dict[Purpose, tuple[tuple[str, str], ...]] = {
    "training": (("white", "normal"), ("gray", "normal"), ("yellow", "large"), ("blue", "small")),
    "evaluation": (("white", "large"), ("pink", "normal"), ("green", "normal"), ("orange", "small")),
}
"""Background and size; no pair of the one is in the other, and red and black are left for prompts to ask for."""


@dataclass(frozen=True)
class ConceptPicture:
    """One picture of a concept: its pixels, a caption with `{}` where the concept's word belongs, and what is true."""

    concept: DemoConcept
    image: Image.Image
    caption: str
    scene: Scene


def concept_pictures(
    concept: DemoConcept, purpose: Purpose, num: int = 4, *, seed: int = 0, sprites: Sprites | None = None
) -> list[ConceptPicture]:
    """Compose `num` pictures of a concept; the first ones do not depend on `num`."""
    sprites = demo_sprites() if sprites is None else sprites
    things = _things(concept, purpose, seed)
    pictures = []
    for place in range(num):
        rng = random.Random(f"{seed}/{concept.name}/{purpose}/{place}")
        compositions = _COMPOSITIONS[purpose]
        background, size = compositions[place % len(compositions)]
        margin = (PICTURE_PX - SIZES_PX[size]) / 2
        offset = (rng.uniform(-0.6, 0.6) * margin, rng.uniform(-0.6, 0.6) * margin)
        thing = things[place % len(things)]
        scene = Scene((thing,), background, size, concept.effect, offsets_px=(offset,))
        pictures.append(ConceptPicture(concept, draw(scene, sprites), _caption(concept, scene), scene))
    return pictures


def tier_pictures(tier: Tier, purpose: Purpose, num: int = 4, *, seed: int = 0) -> dict[str, list[ConceptPicture]]:
    """Pictures of every concept of a tier, by the concept's name."""
    return {
        concept.name: concept_pictures(concept, purpose, num, seed=seed) for concept in CONCEPTS if concept.tier == tier
    }


def prompt_for(concept: DemoConcept, word: str, *, subject: str = "fox", background: str | None = None) -> str:
    """Ask for a concept by `word` (its placeholder, its initializer, its description); a style draws `subject`."""
    shown = a(word) if concept.kind == "object" else f"{a(subject)} in {word} style"
    return f"{shown} on {a(background)} background" if background else shown


def _things(concept: DemoConcept, purpose: Purpose, seed: int) -> Sequence[Thing]:
    if concept.kind == "object":
        return concept.things
    things = random.Random(f"{seed}/{concept.name}").sample(concept.things, len(concept.things))
    half = len(things) // 2
    return things[:half] if purpose == "training" else things[half:]


def _caption(concept: DemoConcept, scene: Scene) -> str:
    subject = scene.things[0].object.replace("-", " ")
    background = None if concept.effect else scene.background  # an effect recolours the background
    return prompt_for(concept, "{}", subject=subject, background=background).replace("an {}", "a {}")


def write_pictures(pictures: Sequence[ConceptPicture], folder: Path) -> list[Path]:
    """Write pictures as `0.png`, `1.png`, ... each with its caption beside it in a `.txt` of the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{place}.png" for place in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.image.save(path)
        path.with_suffix(".txt").write_text(picture.caption + "\n")
    return paths


def ground_truth(picture: ConceptPicture) -> dict[str, Any]:
    """What is true about a picture, as JSON."""
    return {"concept": picture.concept.name, "caption": picture.caption, **asdict(picture.scene)}
