"""What the training benchmark teaches: concepts that the demo base has never seen, in one recipe's specs."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from textinv.demo import WEIGHTS
from textinv.demo.concept_pictures import Purpose, concept_pictures
from textinv.demo.concepts import CONCEPTS, TIERS, DemoConcept
from textinv.guess.guess import start_of
from textinv.images import Picture
from textinv.manifest.fields import ConceptFields, Manifest, TrainingFields
from textinv.models.load import GUESS_FILE
from textinv.plan.guesses import GUESS
from textinv.plan.recipes import INSTANT
from textinv.plan.resolve import BaseFacts, Beginning, Values, resolve_spec
from textinv.registry.guesses import GuessFile, read_guess
from textinv.spec import PictureRef
from textinv.training import Work

NUM_PICTURES = 4
TEMPLATES = {
    "object": ["a {}", "a photo of a {}", "an emoji of a {}", "{}"],
    "style": ["a drawing in {} style", "a {} picture", "an emoji in {} style"],
}
"""Captions in words that the demo base knows."""


def chosen_concepts(count: int) -> list[DemoConcept]:
    """The first `count` concepts, taking turns between the tiers; styles come last."""
    tiers = [[concept for concept in CONCEPTS if concept.tier == tier] for tier in TIERS]
    turns = [tier[place] for place in range(max(map(len, tiers))) for tier in tiers if place < len(tier)]
    return sorted(turns[:count], key=lambda concept: concept.kind == "style")


def pictures_of(concept: DemoConcept, purpose: Purpose) -> list[Picture]:
    """Pictures of a concept, without its captions."""
    shown = concept_pictures(concept, purpose, NUM_PICTURES)
    return [
        Picture(np.asarray(one.image), None, f"{concept.name}/{purpose}/{place}", f"{place}.png")
        for place, one in enumerate(shown)
    ]


def works_of(concepts: Sequence[DemoConcept], defaults: Mapping[str, Any], seed: int, facts: BaseFacts) -> list[Work]:
    """Work for every concept; `defaults` are those of a manifest, a recipe at least. The word it starts from is the
    concept's own unless they say another."""
    fields = TrainingFields.model_validate({**defaults, "seed": seed})
    return [_work(concept, fields, facts) for concept in concepts]


def _work(concept: DemoConcept, defaults: TrainingFields, facts: BaseFacts) -> Work:
    pictures = pictures_of(concept, "training")
    init = defaults.init or (GUESS if defaults.recipe == INSTANT else concept.initializer)
    fields = ConceptFields(
        name=concept.name.replace(" ", "-"),
        images="-",
        kind=concept.kind,
        class_word=concept.class_word,
        init=init,
        templates=TEMPLATES[concept.kind],
    )
    manifest = Manifest(base_model="emoji", concepts=[fields], defaults=defaults)
    refs = [PictureRef(digest=picture.digest, name=picture.name) for picture in pictures]
    digest = shipped_guess().digest if init == GUESS else None
    spec = resolve_spec(Values(manifest, fields), refs, facts, Beginning(init, digest=digest))
    start = start_of(spec, pictures, lambda _: shipped_guess())
    return Work(spec, pictures, work_id=f"{concept.name}/{spec.seed}", start=start)


@lru_cache(maxsize=1)
def shipped_guess() -> GuessFile:
    """The demo base's own guess."""
    file = WEIGHTS / GUESS_FILE
    return read_guess(file.read_bytes(), str(file))
