"""All latents and captions of a pack's slots, one after the other, and the loss over a batch of them.

Owns the packed forward: gather, noise, encode the distinct captions once, predict, compare, and sum per slot. Built
anew when a slot is filled or freed. Does not know optimizers, schedules or stopping.

Shapes: B samples, K distinct captions, M entries of the pool, S slots, V vectors per slot, D width, C x H x W latents.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.models.base import BaseModel, Tokens
from textinv.training.batches import Batch, ContextBatch, ContextPlace, Member
from textinv.training.context import References, context_losses
from textinv.training.objective import add_noise, sample_losses, target_of
from textinv.training.prompts import CONTEXT_PROMPTS
from textinv.training.slot import Slot
from textinv.training.streams import Draw


@dataclass(frozen=True)
class Pool:
    """Latents and captions of all slots on the device, and where each slot's begin."""

    mean_MCHW: Tensor
    std_MCHW: Tensor
    weight_MHW: Tensor
    captions: Mapping[str, Tokens]
    latent_starts: Mapping[int, int]
    caption_starts: Mapping[int, int]
    references: References | None
    reference_starts: Mapping[int, int]

    @classmethod
    def of(cls, slots: Sequence[Slot], num_vectors: int) -> "Pool":
        """Join the latents and captions of all slots; row indices count through a table of `num_vectors` per slot."""
        latent_starts, caption_starts, latents, captions = {}, {}, 0, 0
        for slot in slots:
            latent_starts[slot.index], caption_starts[slot.index] = latents, captions
            latents += len(slot.latents.mean_MCHW)
            captions += slot.num_captions
        return cls(
            mean_MCHW=torch.cat([slot.latents.mean_MCHW for slot in slots]),
            std_MCHW=torch.cat([slot.latents.std_MCHW for slot in slots]),
            weight_MHW=torch.cat([slot.latents.weight_MHW for slot in slots]),
            captions={name: _join(slots, name, num_vectors) for name in slots[0].captions},
            latent_starts=latent_starts,
            caption_starts=caption_starts,
            references=_join_references(slots),
            reference_starts=_reference_starts(slots),
        )

    def training_member(self, slot: Slot) -> Member:
        """A slot's part of this step's batch."""
        place = None
        if (prompt := slot.context_prompt()) is not None:
            count = slot.num_captions - len(CONTEXT_PROMPTS)
            caption = self.caption_starts[slot.index] + count + prompt
            place = ContextPlace(caption, self.reference_starts[slot.index] + prompt, slot.spec.context_weight)
        return self._member(slot, slot.training_draw(), place)

    def evaluation_member(self, slot: Slot) -> Member:
        """A slot's fixed batch, without a context term."""
        return self._member(slot, slot.evaluation_draw(), None)

    def _member(self, slot: Slot, drawn: Draw, place: ContextPlace | None) -> Member:
        starts = self.latent_starts[slot.index], self.caption_starts[slot.index]
        return Member(slot.index, starts[0], slot.latents.num_pictures, starts[1], drawn, place)


def _join(slots: Sequence[Slot], encoder: str, num_vectors: int) -> Tokens:
    rows = [
        torch.where(slot.captions[encoder].row_BL >= 0, slot.captions[encoder].row_BL + slot.index * num_vectors, -1)
        for slot in slots
    ]
    return Tokens(torch.cat([slot.captions[encoder].ids_BL for slot in slots]), torch.cat(rows))


def _join_references(slots: Sequence[Slot]) -> References | None:
    given = [slot.references for slot in slots if slot.references is not None]
    if not given:
        return None
    return References(torch.cat([one.hidden_PLD for one in given]), torch.cat([one.mask_PL for one in given]))


def _reference_starts(slots: Sequence[Slot]) -> dict[int, int]:
    starts, total = {}, 0
    for slot in slots:
        if slot.references is not None:
            starts[slot.index] = total
            total += len(slot.references.mask_PL)
    return starts


def slot_losses(model: BaseModel, pool: Pool, batch: Batch, rows: Mapping[str, Tensor]) -> Tensor:
    """Mean loss of each slot (S,) float32, 0 where a slot has no sample; differentiable in `rows` (S, V, D)."""
    alphas_B = model.alphas_cumprod_T.to(batch.timesteps_B.device)[batch.timesteps_B]
    index_B = batch.latents_B
    latents_BCHW = pool.mean_MCHW[index_B] + pool.std_MCHW[index_B] * batch.latent_noise_BCHW
    noisy_BCHW = add_noise(latents_BCHW, batch.noise_BCHW, alphas_B)
    tokens = {
        name: Tokens(captions.ids_BL[batch.captions_K], captions.row_BL[batch.captions_K])
        for name, captions in pool.captions.items()
    }
    encoded = model.encode_text(tokens, {name: rows_SVD.flatten(0, 1) for name, rows_SVD in rows.items()})
    predicted_BCHW = model.predict(noisy_BCHW, batch.timesteps_B, encoded.index(batch.caption_of_B))
    target_BCHW = target_of(model.prediction_type, latents_BCHW, batch.noise_BCHW, alphas_B)
    loss_B = sample_losses(predicted_BCHW, target_BCHW, pool.weight_MHW[index_B])
    num_slots = next(iter(rows.values())).shape[0]
    loss_S = torch.zeros(num_slots, device=loss_B.device).index_add(0, batch.slot_of_B, loss_B * batch.share_B)
    if batch.context is None or pool.references is None:
        return loss_S
    return loss_S + _context_terms(pool.references, batch.context, encoded.hidden_BLD, num_slots)


def _context_terms(references: References, context: ContextBatch, hidden_KLD: Tensor, num_slots: int) -> Tensor:
    loss_X = context_losses(
        hidden_KLD[context.caption_of_X],
        references.hidden_PLD[context.reference_X],
        references.mask_PL[context.reference_X],
    )
    return torch.zeros(num_slots, device=loss_X.device).index_add(0, context.slot_of_X, loss_X * context.weight_X)
