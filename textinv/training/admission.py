"""Opening a slot: everything that is done once per concept, before its first step.

Owns fitting and encoding its pictures, tokenising its captions, and its first rows or those of its checkpoint. Does not
know the other slots.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import CorruptObjectError, ImageError, InputError, NewerProgramError
from textinv.images import Picture, fit_picture
from textinv.models.base import BaseModel
from textinv.spec import TrainSpec
from textinv.training.captions import tokenize_captions
from textinv.training.checkpoint import Checkpoint
from textinv.training.context import encode_references
from textinv.training.initial import on_sphere, rows_of_embedding, rows_of_text
from textinv.training.latents import PictureLatents, encode_pictures
from textinv.training.prompts import CONTEXT_PROMPTS
from textinv.training.ranking import rank_words
from textinv.training.rows import fresh_state
from textinv.training.slot import Slot
from textinv.training.streams import Choices
from textinv.training.work import Work


def open_slot(model: BaseModel, work: Work, index: int, norms: Mapping[str, float]) -> tuple[Slot, dict[str, Tensor]]:
    """Prepare a concept for slot `index`; its row state as `RowTables.load` takes it.

    Raises:
        InputError: its pictures, captions or initializer cannot be used.
        CorruptObjectError: its checkpoint is broken, or another spec's.
    """
    spec = work.spec
    check_timesteps(model, spec)
    latents = encode_work(model, work)
    texts, own_captions = captions_of(spec)
    choices = Choices(latents.num_pictures, len(spec.templates), spec.timesteps, spec.flip, latents.shape, own_captions)
    references = None
    if spec.context_weight and spec.class_word:
        texts = [*texts, *CONTEXT_PROMPTS]
        references = encode_references(model, spec.class_word, spec.num_vectors)
    slot = Slot(work, index, latents, tokenize_captions(model, texts, spec.num_vectors), choices, references)
    slot.started_from = spec.init
    if work.checkpoint is None:
        rows = first_rows(model, slot)
        return slot, fresh_state(on_sphere(rows, norms, spec), anchors=rows)
    checkpoint = _matching(Checkpoint.from_bytes(work.checkpoint), spec)
    slot.restore(checkpoint.counters)
    slot.best_rows = {name[5:]: value for name, value in checkpoint.tensors.items() if name.startswith("best.")}
    return slot, dict(checkpoint.tensors)


def check_timesteps(model: BaseModel, spec: TrainSpec) -> None:
    """Check that the base model has the timesteps that a spec asks for.

    Raises:
        InputError: it has not.
    """
    low, high = spec.timesteps
    if not 0 <= low < high <= len(model.alphas_cumprod_T):
        raise InputError(
            f"{spec.name}: the timestep band {low} to {high} is not within the {len(model.alphas_cumprod_T)} of "
            f"{model.id}: give one that is"
        )


def first_rows(model: BaseModel, slot: Slot) -> dict[str, Tensor]:
    """The rows (N, D) per text encoder that the spec asks to start from; the slot is told the words that were found.

    Raises:
        InputError: its initializer cannot be used with this base model.
        NewerProgramError: they start from something that this program cannot fetch.
    """
    spec = slot.spec
    if spec.start_digest is not None and spec.init_embedding is None:
        raise NewerProgramError(
            f"{spec.name} starts from {spec.init!r} ({spec.start_digest[:12]}), which this program cannot fetch: it "
            "needs a newer worker"
        )
    if spec.init_embedding is not None:
        return rows_of_embedding(model, spec.init_embedding, spec.num_vectors)
    if spec.init == "auto":
        slot.started_from, rows = rank_words(model, slot, [picture.pixels for picture in slot.work.pictures])
        return rows
    return rows_of_text(model, spec.init, spec.num_vectors)


def encode_work(model: BaseModel, work: Work) -> PictureLatents:
    """Fit the pictures of a concept to its size and encode them.

    Raises:
        ImageError: there are none, or not as many as the spec says, or one whose mask or alpha keeps nothing of what is
            left after cropping.
    """
    if not work.pictures:
        raise ImageError(f"{work.spec.name} has no pictures: give it one to five")
    if len(work.pictures) != len(work.spec.pictures):
        raise ImageError(
            f"{work.spec.name} names {len(work.spec.pictures)} pictures, but {len(work.pictures)} came: send all"
        )
    fitted = [_fit(picture, work.spec) for picture in work.pictures]
    pixels_P3hw = torch.stack([torch.from_numpy(pixels) for pixels, _ in fitted])
    weight_Phw = torch.stack([weight for _, weight in fitted])
    return encode_pictures(model, pixels_P3hw, weight_Phw, flip=work.spec.flip)


def _fit(picture: Picture, spec: TrainSpec) -> tuple[NDArray[np.float32], Tensor]:
    side = spec.resolution_px
    pixels, weight = fit_picture(picture, side, side, spec.crop, seed=spec.seed)
    if weight is not None and not weight.any():
        raise ImageError(
            f"{picture.name} of {spec.name}: its mask or transparency leaves nothing of the square that is kept: crop "
            "the picture around what is to be learned",
            file=picture.name,
        )
    return pixels, torch.ones(side, side) if weight is None else torch.from_numpy(weight)


def captions_of(spec: TrainSpec) -> tuple[Sequence[str], tuple[int, ...]]:
    """All distinct captions, templates first; per picture the index of its own one, -1 for none."""
    texts = list(spec.templates)
    own = []
    for picture in spec.pictures:
        own.append(-1 if picture.caption is None else len(texts))
        texts += [] if picture.caption is None else [picture.caption]
    return texts, tuple(own)


def _matching(checkpoint: Checkpoint, spec: TrainSpec) -> Checkpoint:
    if checkpoint.fingerprint != spec.fingerprint:
        raise CorruptObjectError(
            f"the checkpoint of {spec.name} belongs to another spec ({checkpoint.fingerprint[:12]}, not "
            f"{spec.fingerprint[:12]}): delete it to start anew"
        )
    return checkpoint
