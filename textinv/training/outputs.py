"""Rows that are written into what the text encoders say, rather than into what they read (`rows: output`).

Nothing goes backward through the encoders then, and what they say of a caption is known once and for all, as it is of
one that does not learn: in the concept's place they read the words that it starts from, which stay. After OneTrainer's
output embeddings (Nerogar/OneTrainer@0860bdc7), where they read nothing there.

Owns which rows of a concept learn, where such rows start, and what is remembered of captions. Does not know how rows
are written (`models.prompt`), nor steps.

Shapes: M captions, L window, N vectors, D width of a text encoder.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from textinv.errors import InputError
from textinv.models.base import BaseModel, Conditioning
from textinv.spec import OUTPUT, TrainSpec
from textinv.training.slot import Slot

ENCODE_BATCH = 8
"""Captions in one pass: a concept has a few dozen, and language models are large."""


def learning(spec: TrainSpec, model: BaseModel) -> tuple[str, ...]:
    """The names of the rows of a concept that learn.

    Raises:
        InputError: there is no such text encoder, or nothing can be written into what it says.
    """
    if unknown := sorted(set(spec.encoders) - set(model.encoder_names)):
        has = ", ".join(model.encoder_names)
        raise InputError(f"{spec.name}: {model.id!r} has no text encoder {unknown[0]!r}: write some of {has}")
    chosen = spec.encoders or model.encoder_names
    if spec.rows == "input":
        return tuple(chosen)
    heard = [name for name in model.spans() if name in chosen]
    if not heard:
        raise InputError(
            f"{spec.name}: {model.id!r} reads only one vector for the whole text of {' and '.join(chosen)}, which "
            "rows cannot replace: write rows: input, or name other encoders"
        )
    return tuple(name + OUTPUT for name in heard)


@torch.no_grad()
def hear_captions(model: BaseModel, slot: Slot, rows: Mapping[str, Tensor]) -> dict[str, Conditioning]:
    """What each text encoder that reads nothing that learns says of a slot's captions, once and for all; they read the
    rows (N, D) of their names."""
    found = {}
    for name in [each for each in model.encoder_names if each not in slot.learns]:
        read_ND = rows[name].to(model.device)
        parts = torch.split(torch.arange(slot.num_captions, device=model.device), ENCODE_BATCH)
        said = [model.heard(name, slot.captions[name].index(part), read_ND).tensors for part in parts]
        found[name] = Conditioning({each: torch.cat([one[each] for one in said]) for each in said[0]})
    return found


@torch.no_grad()
def write_behind(model: BaseModel, slot: Slot, rows: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Have a slot write rows into what the text encoders say, while these read the rows (N, D) of their names.

    Returned are the rows with those that were not given: they start as what is said there, a mean over the captions.
    """
    said, found = model.encode_text(slot.heard, {}), dict(rows)
    for encoder, (tensor, across, along) in model.spans().items():
        name, captions = encoder + OUTPUT, slot.captions[encoder]
        if name in slot.learns and name not in found:
            found[name] = _means(said[tensor][:, across, along], captions.row_BL, len(rows[encoder]))
        if name in found:
            slot.captions[name] = captions
    return found


def _means(said_MLD: Tensor, row_ML: Tensor, num_vectors: int) -> Tensor:
    """What is said at each vector's positions, on average (N, D), float32 on the CPU."""
    is_row_ML = row_ML >= 0
    places_n, said_nD = row_ML[is_row_ML], said_MLD[is_row_ML].float()
    sums_ND = torch.zeros(num_vectors, said_nD.shape[-1], device=said_nD.device).index_add(0, places_n, said_nD)
    return (sums_ND / places_n.bincount(minlength=num_vectors).clamp(min=1)[:, None]).cpu()
