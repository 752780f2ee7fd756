"""What a guess is worth on concepts that it was not trained on, beside the words that `init: auto` ranks.

Owns which concepts are held out (by a hash of their names, so that a later training holds out the same ones), the loss
of rows on pictures that were not looked at, with the paired bootstrap (Efron 1979) over concepts, and how like these
pictures what they draw is: a guess is published by both. By the loss alone, rows that say little win over words that
say something wrong: on the demo base a guess was better by .037 and its pictures were less like. Does not know where
concepts come from.

Shapes: K samples of one concept, N vectors, D width of a text encoder.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from textinv.embedding import Embedding
from textinv.generation.draw import generate_all
from textinv.generation.request import GenerateRequest
from textinv.guess.network import KINDS, GuessNetwork
from textinv.guess.training import MOST_LOOKED_AT, Example, Pixels, guessed, losses_of
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder
from textinv.placeholders import ConceptRef
from textinv.training.initial import rows_of_text
from textinv.training.ranking import SHORTLIST, nearest_words
from textinv.training.streams import stream

HELD_OUT_SHARE = 0.15
LEAST_HELD_OUT = 4
"""With fewer concepts nothing can be said."""
NUM_VECTORS = 4
BAND = (300, 1000)
_NOISES = 4
"""Samples of each picture that rows have to explain."""
_FORWARD = 16
"""Samples of a forward."""
WAYS = ("guess", "words")
"""Where rows come from."""
_NUM_DRAWN, _INFERENCE_STEPS, _MOST_DRAWN = 2, 12, 16
"""Pictures of a concept that are drawn, their steps, and concepts of each kind that are."""
_DRAWN = ConceptRef("concept")
_NUM_DRAWS = 4000
_QUANTILE = 0.975


@dataclass(frozen=True)
class HeldOut:
    """A concept that was not trained on."""

    name: str
    example: Example
    pictures: Sequence[Pixels]


def is_held_out(name: str) -> bool:
    """Whether a concept of this name is never trained on."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") < HELD_OUT_SHARE * 2**32


def halves(num_pictures: int) -> tuple[list[int], list[int]]:
    """The places of the pictures that are looked at, and of those that rows have to explain; a lone picture is both."""
    seen = max(1, min(MOST_LOOKED_AT, num_pictures // 2))
    return list(range(seen)), list(range(seen, num_pictures)) or [0]


@torch.no_grad()
def measure(
    model: BaseModel,
    encoder: PictureEncoder,
    network: GuessNetwork,
    concepts: Sequence[HeldOut],
    between: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Losses of guessed rows and of ranked words, likeness of what they draw, and for which kinds the guess is better.

    All figures are given for all concepts and for those of each kind. `better` is what the guess takes away from the
    loss in the mean, `at_least` how much of it is beyond chance; likeness is of the first few of a kind. `between` is
    called before each concept.
    """

    def measured_one(one: HeldOut, eyes: PictureEncoder | None) -> _Measured:
        between()
        return _measured(model, network, one, eyes)

    found = {kind: [one for one in concepts if one.example.kind == kind] for kind in KINDS}
    measured = {
        kind: [measured_one(one, encoder if at < _MOST_DRAWN else None) for at, one in enumerate(of_kind)]
        for kind, of_kind in found.items()
        if of_kind
    }
    together = [one for of_kind in measured.values() for one in of_kind]
    names = [one.name for of_kind in found.values() for one in of_kind]
    kinds = {kind: _summary(of_kind) for kind, of_kind in measured.items()}
    return {
        **_summary(together),
        "is_better": any(one["is_better"] for one in kinds.values()),
        "kinds": kinds,
        "each": {name: [round(one.loss[way], 4) for way in WAYS] for name, one in zip(names, together, strict=True)},
    }


class _Measured(NamedTuple):
    """A concept's figures by where its rows come from; no likeness where nothing was drawn."""

    loss: dict[str, float]
    likeness: dict[str, float]


def _measured(model: BaseModel, network: GuessNetwork, concept: HeldOut, encoder: PictureEncoder | None) -> _Measured:
    seen, _ = halves(len(concept.pictures))
    guess = guessed(network, [concept.example], [seen], min(NUM_VECTORS, network.shape.max_vectors))
    rows = {"guess": {name: each[0] for name, each in guess.items()}, "words": words_for(model, network, concept)}
    return _Measured(
        {way: loss_on_unseen(model, concept, of_way) for way, of_way in rows.items()},
        {way: likeness(model, encoder, concept, of_way) for way, of_way in rows.items()} if encoder else {},
    )


def _summary(measured: Sequence[_Measured]) -> dict[str, Any]:
    losses = {way: [one.loss[way] for one in measured] for way in WAYS}
    likenesses = {way: [one.likeness[way] for one in measured if one.likeness] for way in WAYS}
    least = at_least(losses["words"], losses["guess"])
    loss, like = ({way: round(float(np.mean(all_[way])), 4) for way in WAYS} for all_ in (losses, likenesses))
    return {
        "concepts": len(measured),
        "loss": loss,
        "likeness": like,
        "better": round(loss["words"] - loss["guess"], 4),
        "at_least": round(least, 4),
        "is_better": least > 0 and like["guess"] >= like["words"] and len(measured) >= LEAST_HELD_OUT,
    }


def at_least(before: Sequence[float], after: Sequence[float]) -> float:
    """By how much paired figures have fallen, where 97.5 of 100 draws of the pairs say so; the same for the same."""
    fall = np.asarray(before) - np.asarray(after)
    drawn = np.random.default_rng(0).integers(len(fall), size=(_NUM_DRAWS, len(fall)))
    return float(np.quantile(fall[drawn].mean(1), 1 - _QUANTILE))


def words_for(model: BaseModel, network: GuessNetwork, concept: HeldOut) -> dict[str, Tensor]:
    """The rows (N, D) of the words that `init: auto` would start from, as long as those that are learned."""
    seen, _ = halves(len(concept.pictures))
    if model.clip is not None:
        rows = nearest_words(model, [concept.pictures[at] for at in seen], NUM_VECTORS).rows
    else:
        candidates = [rows_of_text(model, word, NUM_VECTORS) for word in SHORTLIST]
        rows = min(candidates, key=lambda rows: _loss(model, concept.example, rows, seen, 1))
    norms = network.shape.row_norms
    return {name: normalize(rows_ND, dim=-1) * norms[name] for name, rows_ND in rows.items()}


def loss_on_unseen(model: BaseModel, concept: HeldOut, rows: Mapping[str, Tensor]) -> float:
    """The mean loss of rows (N, D) on the pictures that were not looked at, with the same noise for all rows."""
    return _loss(model, concept.example, rows, halves(len(concept.pictures))[1], _NOISES)


def likeness(model: BaseModel, encoder: PictureEncoder, concept: HeldOut, rows: Mapping[str, Tensor]) -> float:
    """How like the pictures that were not looked at those are that the rows (N, D) draw, to an image encoder."""
    unseen = halves(len(concept.pictures))[1]
    said = [concept.example.captions[at][0].replace("{}", _DRAWN.placeholder) for at in unseen[:_NUM_DRAWN]]
    requests = [GenerateRequest(text, seed=at, num_inference_steps=_INFERENCE_STEPS) for at, text in enumerate(said)]
    mounts = {_DRAWN: Embedding(rows)}
    drawn = [images[0].pixels for images in generate_all(model, [(request, mounts) for request in requests])]
    real_RF = encoder.pictures([concept.pictures[at] for at in unseen])
    return float((encoder.pictures(drawn) @ real_RF.T).mean())


def _loss(model: BaseModel, example: Example, rows: Mapping[str, Tensor], places: Sequence[int], noises: int) -> float:
    targets = [at for at in places for _ in range(noises)]
    generator, losses = stream(0, "guess/measure"), list[Tensor]()
    for start in range(0, len(targets), _FORWARD):
        part = targets[start : start + _FORWARD]
        repeated = {name: rows_ND[None].expand(len(part), -1, -1) for name, rows_ND in rows.items()}
        captions = [example.captions[at][0] for at in part]
        losses.append(losses_of(model, [example] * len(part), part, captions, repeated, BAND, generator).cpu())
    return float(torch.cat(losses).mean())
