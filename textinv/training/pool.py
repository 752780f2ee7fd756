"""All latents and captions of a pack's slots, one after the other, on the device.

Owns where each slot's begin. Built anew when a slot is filled or freed, so that a step only indexes. Does not know what
is drawn of them.

Shapes: M latents or captions, P context prompts, C x H x W latents; L, D as in `models.base`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.models.base import Tokens
from textinv.training.context import References
from textinv.training.slot import Slot


@dataclass(frozen=True)
class Place:
    """Where one slot's things begin."""

    latents: int
    num_pictures: int
    """Flipped copies come so much later."""
    captions: int
    context_captions: int
    references: int


@dataclass(frozen=True)
class Pool:
    """Latents and captions of all slots, and each slot's place among them by its index."""

    mean_MCHW: Tensor
    std_MCHW: Tensor
    weight_MHW: Tensor
    sizes_M6: Tensor
    captions: Mapping[str, Tokens]
    references: References | None
    places: Mapping[int, Place]

    @classmethod
    def of(cls, slots: Sequence[Slot], num_vectors: int) -> "Pool":
        """Join the latents and captions of all slots; row indices count through a table of `num_vectors` per slot."""
        places, latents, captions, references = {}, 0, 0, 0
        for slot in slots:
            context = captions + slot.first_context_caption
            places[slot.index] = Place(latents, slot.latents.num_pictures, captions, context, references)
            latents += len(slot.latents.mean_MCHW)
            captions += slot.num_captions
            references += slot.num_context_prompts
        given = [slot.references for slot in slots if slot.references is not None]
        return cls(
            mean_MCHW=torch.cat([slot.latents.mean_MCHW for slot in slots]),
            std_MCHW=torch.cat([slot.latents.std_MCHW for slot in slots]),
            weight_MHW=torch.cat([slot.latents.weight_MHW for slot in slots]),
            sizes_M6=torch.cat([slot.latents.sizes_M6 for slot in slots]),
            captions={name: _joined(slots, name, num_vectors) for name in slots[0].captions},
            references=References.cat(given) if given else None,
            places=places,
        )


def _joined(slots: Sequence[Slot], encoder: str, num_vectors: int) -> Tokens:
    rows = [
        torch.where(slot.captions[encoder].row_BL >= 0, slot.captions[encoder].row_BL + slot.index * num_vectors, -1)
        for slot in slots
    ]
    return Tokens(torch.cat([slot.captions[encoder].ids_BL for slot in slots]), torch.cat(rows))
