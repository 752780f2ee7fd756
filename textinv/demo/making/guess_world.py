"""What the demo base's guess learns from: things and looks of the wider world that no concept of the demo shows.

Owns which, and drawing one as an example. Held-out objects, the held-out drawing style and what comes near a held-out
effect are not in the wider world; here the artwork of the particular things is left out too, in every colour. Does not
know the network.
"""

import random
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from torch import Tensor

from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import CONCEPTS, DemoConcept, concepts_of
from textinv.demo.icons import Sprites
from textinv.demo.making.wide_world import LOOK, Shares, WideWorld, wide_world
from textinv.demo.world import Odds
from textinv.guess.measuring import HeldOut
from textinv.guess.training import MOST_LOOKED_AT, Example, encode_example
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder, own_encoder
from textinv.plan.templates import TEMPLATES
from textinv.spec import Kind

PICTURES = 5
"""Of each concept."""
NEW_PER_STEP = 3
"""Concepts that come in with each step, while as many of the oldest go."""
WINDOW = 192
"""Concepts that a step draws from."""
COPYING = 400
"""Steps in which the network learns to say what the world says of its concepts."""
VECTORS = (1, 2, 3, 4, 4, 4, 4, 4)
"""Manifests of the demo base ask for four, but for those that are in a hurry."""
LIKELY = Odds(hue=0.55, pattern=0.5, stretch=0.3, mirrored=0.05, effect=0.0, tiny=0.0)
"""Things are mostly in a hue, a pattern or a shape of their own, as what people bring is."""
TEMPLATE_SHARE = 3
"""One of so many captions says nothing but that the concept is there, as most pictures that people bring."""


def without_particular_things(sprites: Sprites) -> Sprites:
    """The sprites without those that the demo's particular things are made of."""
    particular = {(thing.style, thing.object) for one in concepts_of("particular-thing") for thing in one.things}
    return {key: sprite for key, sprite in sprites.items() if key not in particular}


@dataclass
class GuessWorld:
    """Concepts by number: number n is a function of (seed, n)."""

    model: BaseModel
    sprites: Sprites
    seed: int = 27
    concepts: int | None = None
    """So many are drawn from over and over; without a number, new ones come in with each step."""
    encoder: PictureEncoder = field(init=False)

    def __post_init__(self) -> None:
        self.encoder = own_encoder(self.model)
        every = replace(wide_world(without_particular_things(self.sprites)), size=PICTURES)
        narrow = replace(every, plain=(replace(every.plain[0], odds=LIKELY),), made=0.0)
        things, looks = Shares(0, 1, 0), Shares(0, 0, 1)
        self._worlds: tuple[tuple[float, WideWorld], ...] = (
            (0.65, replace(narrow, shares=things)),
            (0.15, replace(every, shares=things)),
            (0.2, replace(every, shares=looks)),
        )
        self._example = lru_cache(maxsize=self.concepts or WINDOW + 2 * NEW_PER_STEP)(self.compose)

    def draw(self, step: int, rng: random.Random) -> Example:
        """One of the concepts that a step draws from."""
        if self.concepts is not None:
            return self._example(rng.randrange(self.concepts))
        return self._example(step * NEW_PER_STEP + rng.randrange(WINDOW))

    def num_seen(self, steps: int) -> int:
        """How many concepts so many steps draw from."""
        return self.concepts or WINDOW + NEW_PER_STEP * (steps - 1)

    def compose(self, number: int) -> Example:
        """The concept of this number."""
        rng = random.Random(f"guess/{self.seed}/{number}")
        world = rng.choices([world for _, world in self._worlds], [share for share, _ in self._worlds])[0]
        group, shown = world.group(rng)
        kind: Kind = "style" if group == LOOK else "object"
        general = TEMPLATES[kind]
        captions = [
            [each.word_caption or rng.choice(general)] * (TEMPLATE_SHARE - 1) + [rng.choice(general)] for each in shown
        ]
        pictures = [np.asarray(each.image.convert("RGB"), np.uint8) for each in shown]
        example = encode_example(self.model, self.encoder, kind, pictures, captions)
        return replace(example, known=self._rows_of(shown[0].shared))

    def _rows_of(self, words: str) -> dict[str, Tensor] | None:
        """The rows of what the world says of a concept, if it says anything."""
        rows = {name: self.model.token_rows(name, words).detach().float() for name in self.model.encoder_names}
        return rows if all(map(len, rows.values())) else None

    def unseen(self) -> list[HeldOut]:
        """The demo's concepts, none of which is in the worlds: pictures that teach, then as many others that judge."""
        return [self._held_out(concept) for concept in CONCEPTS]

    def _held_out(self, concept: DemoConcept) -> HeldOut:
        taught = concept_pictures(concept, "training", MOST_LOOKED_AT)
        judged = concept_pictures(concept, "evaluation", MOST_LOOKED_AT)
        shown = [*taught, *judged]
        pictures = [np.asarray(each.image.convert("RGB"), np.uint8) for each in shown]
        captions = [[each.caption] for each in shown]
        return HeldOut(
            concept.name, encode_example(self.model, self.encoder, concept.kind, pictures, captions), pictures
        )
