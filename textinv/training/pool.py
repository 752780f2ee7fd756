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
from textinv.training.batches import Batch
from textinv.training.objective import add_noise, sample_losses, snr_weights, target_of
from textinv.training.slot import Slot


@dataclass(frozen=True)
class Pool:
    """Latents and captions of all slots on the device, and where each slot's begin."""

    mean_MCHW: Tensor
    std_MCHW: Tensor
    weight_MHW: Tensor
    captions: Mapping[str, Tokens]
    latent_starts: Mapping[int, int]
    caption_starts: Mapping[int, int]

    @classmethod
    def of(cls, slots: Sequence[Slot], num_vectors: int) -> "Pool":
        """Join the latents and captions of all slots; row indices count through a table of `num_vectors` per slot."""
        latent_starts, caption_starts, latents, captions = {}, {}, 0, 0
        for slot in slots:
            latent_starts[slot.index], caption_starts[slot.index] = latents, captions
            latents += len(slot.latents.mean_MCHW)
            captions += slot.choices.num_captions
        return cls(
            mean_MCHW=torch.cat([slot.latents.mean_MCHW for slot in slots]),
            std_MCHW=torch.cat([slot.latents.std_MCHW for slot in slots]),
            weight_MHW=torch.cat([slot.latents.weight_MHW for slot in slots]),
            captions={name: _join(slots, name, num_vectors) for name in slots[0].captions},
            latent_starts=latent_starts,
            caption_starts=caption_starts,
        )


def _join(slots: Sequence[Slot], encoder: str, num_vectors: int) -> Tokens:
    rows = [
        torch.where(slot.captions[encoder].row_BL >= 0, slot.captions[encoder].row_BL + slot.index * num_vectors, -1)
        for slot in slots
    ]
    return Tokens(torch.cat([slot.captions[encoder].ids_BL for slot in slots]), torch.cat(rows))


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
    weight_B = batch.share_B * snr_weights(model.prediction_type, alphas_B, batch.snr_gamma_B)
    num_slots = next(iter(rows.values())).shape[0]
    return torch.zeros(num_slots, device=loss_B.device).index_add(0, batch.slot_of_B, loss_B * weight_B)
