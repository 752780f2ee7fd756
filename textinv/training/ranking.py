"""`init: auto`: find the vocabulary rows that are nearest to what the pictures show.

With a CLIP of the base's own, the whole vocabulary is ranked: each entry stands in "a photo of a ..." and the prompt is
compared with the pictures (as in Voronov et al. 2023, arXiv:2302.04841). The vocabulary is encoded once per base model.
Without one, a shortlist of common words is ranked by the denoising loss on the concept's fixed batch.

Shapes: V vocabulary, F feature width, N vectors, D width of a text encoder, Q words of the shortlist.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.models.base import BaseModel
from textinv.models.picture_encoder import own_encoder
from textinv.training.captions import tokenize_captions
from textinv.training.initial import rows_of_text
from textinv.training.slot import Slot

PROMPT = "a photo of a {}"
ENCODE_BATCH = 512
LOSS_SAMPLES = 16
"""Samples of the shortlist's fixed batches in one forward; a batch that is larger goes alone."""
SHORTLIST = (
    "animal", "baby", "bag", "ball", "bear", "bird", "boat", "book", "bottle", "bowl", "box", "building", "cake", "car",
    "cat", "chair", "clock", "creature", "cup", "dog", "doll", "dress", "drawing", "face", "figure", "fish", "flower",
    "food", "fruit", "furniture", "hat", "horse", "house", "insect", "instrument", "lamp", "landscape", "machine",
    "man", "monster", "mountain", "mug", "painting", "person", "plant", "robot", "rock", "sculpture", "shoe", "sketch",
    "statue", "tool", "toy", "train", "tree", "vase", "vehicle", "weapon", "woman",
)  # fmt: skip

FixedLosses = Callable[[BaseModel, Sequence[Slot], Mapping[str, Tensor]], Tensor]
"""The loss of each slot on its fixed batch with the given rows (S, V, D): a pack's forward."""


class Ranked(NamedTuple):
    """The words that fit best, best first, and their rows (N, D) per text encoder."""

    words: str
    rows: dict[str, Tensor]


def rank_words(model: BaseModel, slot: Slot, fixed_losses: FixedLosses) -> Ranked:
    """Find the N vocabulary entries, or the word of the shortlist, that fit the pictures best."""
    if model.clip is not None:
        return nearest_words(model, [picture.pixels for picture in slot.work.pictures], slot.spec.num_vectors)
    return _nearest_by_loss(model, slot, fixed_losses)


def nearest_words(model: BaseModel, pictures: Sequence[NDArray[np.uint8]], num_vectors: int) -> Ranked:
    """Find the N vocabulary entries that the base model's own CLIP finds nearest to pictures.

    Raises:
        SettingsError: it has none.
    """
    seen_F = own_encoder(model).pictures(pictures).mean(0)
    best_N = (_vocabulary_features(model) @ seen_F).topk(num_vectors).indices
    rows = {name: model.vocabulary(name).detach()[best_N].float().cpu() for name in model.encoder_names}
    assert model.clip is not None
    return Ranked(model.clip.tokenizer.decode(best_N.tolist()).strip(), rows)


@lru_cache(maxsize=1)
@torch.no_grad()
def _vocabulary_features(model: BaseModel) -> Tensor:
    """Unit features (V, F) of every vocabulary entry in `PROMPT`; zeros for the marks that begin and end a prompt."""
    encoder = own_encoder(model)
    tokens = tokenize_captions(model, [PROMPT], 1)[model.encoder_names[0]]
    ids_L, place = tokens.ids_BL[0], int(tokens.row_BL[0].argmax())
    end = int((ids_L[1:] != ids_L[:-1]).nonzero().max()) + 1
    size = len(model.vocabulary(model.encoder_names[0]))
    prompts_VL = ids_L[: end + 1].repeat(size, 1)
    prompts_VL[:, place] = torch.arange(size, device=prompts_VL.device)
    parts = [encoder.token_ids(prompts_VL[start : start + ENCODE_BATCH]) for start in range(0, size, ENCODE_BATCH)]
    features_VF = torch.cat(parts)
    features_VF[[int(ids_L[0]), int(ids_L[end])]] = 0
    return features_VF


@torch.no_grad()
def _nearest_by_loss(model: BaseModel, slot: Slot, fixed_losses: FixedLosses) -> Ranked:
    words = [slot.spec.class_word] if slot.spec.class_word else []
    words += SHORTLIST
    num_vectors = slot.spec.num_vectors
    rows = [rows_of_text(model, word, num_vectors) for word in words]
    losses = []
    count = max(1, LOSS_SAMPLES // slot.spec.stop.num_samples)
    for start in range(0, len(rows), count):
        part = rows[start : start + count]
        slots = [replace(slot, index=index) for index in range(len(part))]
        stacked = {name: torch.stack([one[name] for one in part]).to(model.device) for name in model.encoder_names}
        losses += fixed_losses(model, slots, stacked).tolist()
    best = min(range(len(rows)), key=losses.__getitem__)
    return Ranked(words[best], rows[best])
