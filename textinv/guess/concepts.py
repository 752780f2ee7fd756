"""Concepts to learn guessing from, wherever they come from: which are trained on, and which are held out.

Owns decoding and cropping their pictures (the middle square; transparency is not looked at) and what may be said of
each. Does not know training, nor where pictures lie: `folders` and `shared` say that.
"""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from textinv.guess.measuring import LEAST_HELD_OUT, HeldOut, is_held_out
from textinv.guess.training import Example, Pixels, encode_example
from textinv.images import as_trained, decode_picture
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder
from textinv.plan.templates import TEMPLATES
from textinv.registry.guesses import LearnedFrom
from textinv.spec import Kind

LEAST_PICTURES = 2
"""Of a concept: one to look at and another to explain."""
MOST_PICTURES = 8
_KEPT = 512
"""Concepts whose encoded pictures are kept in memory."""


class Shown(NamedTuple):
    """A picture: the bytes of its file, its name for messages, and captions of its own, with `{}`."""

    data: bytes
    name: str
    captions: Sequence[str]


@dataclass(frozen=True)
class Found:
    """A concept that was found. By a hash of its name it is held out or not."""

    name: str
    kind: Kind
    read: Callable[[], Sequence[Shown]]


class Concepts:
    """Concepts by what they are told apart by."""

    def __init__(self, found: Mapping[str, Found], model: BaseModel, encoder: PictureEncoder) -> None:
        self._found, self._model, self._encoder = found, model, encoder
        self.held_out: Sequence[str] = [key for key, one in found.items() if is_held_out(one.name)]
        self.trained: Sequence[str] = [key for key, one in found.items() if not is_held_out(one.name)]
        self._encoded = lru_cache(maxsize=_KEPT)(self._encode)

    @property
    def stamp(self) -> str:
        """A hash of which concepts are trained on, hex: by it a training is known that was left off."""
        kinds = sorted({one.kind for one in self._found.values()})
        return hashlib.sha256("\n".join([*kinds, *self.trained]).encode()).hexdigest()

    @property
    def learned_from(self) -> Sequence[LearnedFrom]:
        """What the record of a guess says of those that tenants shared."""
        return ()

    def draw(self, _step: int, rng: random.Random) -> Example:
        """One of those that are trained on."""
        return self._encoded(rng.choice(self.trained)).example

    def unseen(self) -> Sequence[HeldOut]:
        """All that are held out."""
        return [self._encode(key) for key in self.held_out]

    def _encode(self, key: str) -> HeldOut:
        found = self._found[key]
        pictures, captions = list[Pixels](), list[Sequence[str]]()
        for shown in found.read()[:MOST_PICTURES]:
            picture = decode_picture(shown.data, shown.name)
            square = as_trained(picture, self._model.native_px).convert("RGB")
            pictures.append(np.asarray(square, np.uint8))
            own = [text for text in shown.captions if "{}" in text]
            captions.append([*own, *own, *TEMPLATES[found.kind][: len(own) or None]])
        return HeldOut(key, encode_example(self._model, self._encoder, found.kind, pictures, captions), pictures)


def are_enough(names: Sequence[str]) -> tuple[bool, int]:
    """Whether so many concepts are enough to train and to measure a guess; how many of them are held out."""
    held_out = sum(map(is_held_out, names))
    return held_out >= LEAST_HELD_OUT and held_out < len(names), held_out
