"""Rows between rows: a concept at a strength, and two concepts mixed.

Rows slide along the great circle between their directions (slerp: Shoemake 1985, "Animating rotation with quaternion
curves"), as `sphere` keeps what rows mean in their direction; their lengths are interpolated, for AdamW gives rows any
length. Owns that rule, and which concepts it holds for. Rows are computed when a prompt is prepared, and are an
`Embedding` like any other from then on: batches and caches see no difference.

Shapes: N vectors, D width of a text encoder.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from textinv.embedding import Embedding
from textinv.errors import PromptError
from textinv.models.base import BaseModel
from textinv.models.word_rows import word_rows
from textinv.placeholders import GUESS, parse_ref

# Directions nearer than this to each other, or to opposite ones, have no great circle between them.
_LEAST_ANGLE = 1e-4
_LEARNED_ELSEWHERE = (
    "it was learned elsewhere and its record names no class word; draw it without a strength, or learn it here"
)


class Ingredient(NamedTuple):
    """A concept that is drawn otherwise than as it was learned."""

    name: str
    """As the prompt calls it."""
    embedding: Embedding
    word: str | None
    """Its class word, else the words that it started from; None where nobody knows."""


class Blended(NamedTuple):
    """What came of it, and what is to be told of it."""

    embedding: Embedding
    notes: tuple[str, ...] = ()


def ingredient_of(name: str, embedding: Embedding, record: Mapping[str, Any]) -> Ingredient:
    """A concept with the word that its record names."""
    spec = record.get("spec")
    words = (
        spec.get("class_word") if isinstance(spec, dict) else None,
        *map(record.get, ("class_word", "started_from")),
    )
    return Ingredient(name, embedding, next((word for word in words if isinstance(word, str) and word.strip()), None))


def at_strength(model: BaseModel, one: Ingredient, strength: float) -> Blended:
    """A concept at a strength: 0 is its class word, 1 itself; beyond 1 it goes on as far as the word's antipode.

    Raises:
        PromptError: nobody knows its class word, or its rows do not stand where words do.
    """
    if strength == 1:
        return Blended(one.embedding)
    if one.embedding.outputs:
        raise PromptError(
            f"<{one.name}> cannot be drawn at a strength: its rows replace the text encoder's output (rows: "
            "output), where there is no class word to slide to; draw it without a strength"
        )
    if one.word is None:
        was_guessed = parse_ref(one.name).version == GUESS
        raise PromptError(
            f"<{one.name}> cannot be drawn at a strength: "
            + ("nobody said its class word; guess it with one" if was_guessed else _LEARNED_ELSEWHERE)
        )
    words = {}
    for encoder in one.embedding.rows:
        words_ND = word_rows(model, encoder, one.word, one.embedding.num_vectors)
        if words_ND is None:
            raise PromptError(
                f"<{one.name}> cannot be drawn at a strength: {one.word!r} is not a word that {encoder} knows"
            )
        words[encoder] = words_ND
    ways = {encoder: (words[encoder], rows_ND) for encoder, rows_ND in one.embedding.rows.items()}
    reached = min(strength, *(_farthest(*way) for way in ways.values()))
    note = f"<{one.name}:{strength:g}> is drawn at {reached:.2f}: beyond, it would come back to its opposite"
    rows = {encoder: between(*way, reached) for encoder, way in ways.items()}
    return Blended(Embedding(rows), (note,) if reached < strength else ())


def mixed(first: Ingredient, second: Ingredient, share: float) -> Blended:
    """Two concepts of one class word, `share` of the second.

    Raises:
        PromptError: they are of different kinds, have another number of vectors, or stand elsewhere.
    """
    if first.word and second.word and first.word.lower() != second.word.lower():
        raise PromptError(
            f"<{first.name}> is a kind of {first.word} and <{second.name}> a kind of {second.word}: only concepts "
            "with the same class word can be mixed; name both in the prompt instead"
        )
    if first.embedding.num_vectors != second.embedding.num_vectors:
        raise PromptError(
            f"<{first.name}> has {first.embedding.num_vectors} vectors and <{second.name}> "
            f"{second.embedding.num_vectors}: learn both with the same num_vectors to mix them"
        )
    if first.embedding.rows.keys() != second.embedding.rows.keys():
        raise PromptError(
            f"<{first.name}> has rows of {', '.join(first.embedding.rows)} and <{second.name}> of "
            f"{', '.join(second.embedding.rows)}: learn both with the same rows and encoders to mix them"
        )
    rows = {
        encoder: between(rows_ND, second.embedding.rows[encoder], share)
        for encoder, rows_ND in first.embedding.rows.items()
    }
    return Blended(Embedding(rows))


def between(from_ND: Tensor, to_ND: Tensor, share: float) -> Tensor:
    """Rows on the way: 0 the first, 1 the second, beyond 1 further on; lengths go no further than the second's."""
    if share in (0, 1):
        return to_ND if share else from_ND
    start_ND, end_ND = normalize(from_ND, dim=-1), normalize(to_ND, dim=-1)
    angle_N1 = _angles(start_ND, end_ND)
    sine_N1 = torch.sin(angle_N1)
    along_ND = (torch.sin((1 - share) * angle_N1) * start_ND + torch.sin(share * angle_N1) * end_ND) / sine_N1
    straight_ND = (1 - share) * start_ND + share * end_ND
    direction_ND: Tensor = torch.where(sine_N1 < _LEAST_ANGLE, normalize(straight_ND, dim=-1), along_ND)
    part = min(share, 1.0)
    length_N1: Tensor = (1 - part) * from_ND.norm(dim=-1, keepdim=True) + part * to_ND.norm(dim=-1, keepdim=True)
    return direction_ND * length_N1


def _angles(start_ND: Tensor, end_ND: Tensor) -> Tensor:
    return torch.acos((start_ND * end_ND).sum(-1, keepdim=True).clamp(-1, 1))


def _farthest(from_ND: Tensor, to_ND: Tensor) -> float:
    """The strength at which the first of these rows reaches the antipode of where it comes from."""
    widest = float(_angles(normalize(from_ND, dim=-1), normalize(to_ND, dim=-1)).max())
    return math.inf if widest < _LEAST_ANGLE else math.pi / widest
