"""One batch over all slots of a pack: from every concept's draw to tensors on the device.

Owns padding to a few fixed sizes (padding repeats the first sample with weight zero, so it stays within that sample's
slot), sharing one text-encoder row between samples with the same caption, and the copy to the device without waiting
for it. Does not know how latents or tokens came to be: it only counts where they lie in the pack's pool.

Shapes: B samples, K distinct captions, C latent channels, H x W latent size, S slots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from textinv.training.streams import Draw, Integers


@dataclass(frozen=True)
class Member:
    """One slot's part of a batch, and where its latents and captions start in the pool."""

    slot: int
    latent_start: int
    num_pictures: int
    caption_start: int
    draw: Draw
    context: "ContextPlace | None" = None


@dataclass(frozen=True)
class ContextPlace:
    """The context prompt of one slot's step: where its tokens and its reference lie in the pool, and its weight."""

    caption: int
    reference: int
    weight: float


@dataclass(frozen=True)
class ContextBatch:
    """The context prompts of a step: X of them, padded with weight zero."""

    caption_of_X: Tensor
    """Index into the batch's distinct captions."""
    reference_X: Tensor
    slot_of_X: Tensor
    weight_X: Tensor


@dataclass(frozen=True)
class Batch:
    """Everything that one forward needs, on the device."""

    latents_B: Tensor
    """Index of each sample's latent in the pool."""
    captions_K: Tensor
    """Index of each distinct caption in the pool."""
    caption_of_B: Tensor
    """Index into `captions_K`."""
    slot_of_B: Tensor
    share_B: Tensor
    """Weight of each sample within its slot's mean; padding weighs 0."""
    timesteps_B: Tensor
    latent_noise_BCHW: Tensor
    noise_BCHW: Tensor
    num_samples: int
    """Samples that are not padding."""
    context: ContextBatch | None


def padded_size(count: int) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that holds `count`: at most a third is padding."""
    size = 1
    while size < count:
        if size >= 2 and 3 * size // 2 >= count:
            return 3 * size // 2
        size *= 2
    return size


def assemble(members: Sequence[Member], device: torch.device) -> Batch:
    """Join the draws of all members, padded, and send them to the device."""
    draws = [member.draw for member in members]
    counts = [len(draw) for draw in draws]
    num_samples = sum(counts)
    extra = padded_size(num_samples) - num_samples
    latents = [
        member.latent_start + draw.pictures_B + member.num_pictures * draw.flips_B
        for member, draw in zip(members, draws, strict=True)
    ]
    captions = [member.caption_start + draw.captions_B for member, draw in zip(members, draws, strict=True)]
    slots_B = np.repeat([member.slot for member in members], counts)
    contexts = [(member.slot, member.context) for member in members if member.context]
    asked = [*_padded(captions, extra), *(place.caption for _, place in contexts)]
    captions_K, index = np.unique(asked, return_inverse=True)
    asked_B, asked_X = np.split(index, [num_samples + extra])
    spare = padded_size(len(captions_K)) - len(captions_K)
    share_B = np.zeros(num_samples + extra, np.float32)
    share_B[:num_samples] = np.repeat(1 / np.array(counts), counts)
    timesteps = [draw.timesteps_B for draw in draws]
    indices_4B = np.stack([_padded(latents, extra), asked_B, _padded([slots_B], extra), _padded(timesteps, extra)])
    noises_2BCHW = torch.cat([draw.noises_2BCHW for draw in draws], dim=1)
    if extra:
        padding_2BCHW = noises_2BCHW[:, :1].expand(-1, extra, -1, -1, -1)
        noises_2BCHW = torch.cat([noises_2BCHW, padding_2BCHW], dim=1)

    def send(tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    latents_B, caption_of_B, slot_of_B, timesteps_B = send(torch.from_numpy(indices_4B)).unbind()
    latent_noise_BCHW, noise_BCHW = send(noises_2BCHW).unbind()
    return Batch(
        latents_B=latents_B,
        captions_K=send(torch.from_numpy(_padded([captions_K], spare))),
        caption_of_B=caption_of_B,
        slot_of_B=slot_of_B,
        share_B=send(torch.from_numpy(share_B)),
        timesteps_B=timesteps_B,
        latent_noise_BCHW=latent_noise_BCHW,
        noise_BCHW=noise_BCHW,
        num_samples=num_samples,
        context=_contexts(contexts, asked_X, send) if contexts else None,
    )


def _contexts(
    places: Sequence[tuple[int, ContextPlace]], caption_of_X: Integers, send: Callable[[Tensor], Tensor]
) -> ContextBatch:
    extra = padded_size(len(places)) - len(places)
    references_X = np.array([place.reference for _, place in places])
    slots_X = np.array([slot for slot, _ in places])
    indices_3X = np.stack([_padded([each], extra) for each in (caption_of_X, references_X, slots_X)])
    caption_of, reference, slot_of = send(torch.from_numpy(indices_3X)).unbind()
    weight_X = send(torch.tensor([place.weight for _, place in places] + [0.0] * extra))
    return ContextBatch(caption_of, reference, slot_of, weight_X)


def _padded(parts: Sequence[Integers], extra: int) -> Integers:
    """Concatenate, then repeat the first entry `extra` times."""
    return np.concatenate([*parts, np.full(extra, parts[0][0])])
