"""One batch over all slots of a pack: from every concept's draw to tensors on the device.

Owns padding to a few fixed sizes (padding repeats the first sample with weight zero, so it stays within that sample's
slot), sharing one text-encoder row between samples with the same caption, and the copy to the device without waiting
for it. Does not know how latents or tokens came to be: it only counts where they lie in the pack's pool.

Shapes: B samples, K distinct captions, C latent channels, H x W latent size, S slots.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.training.streams import Draw


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
    latents, captions, slots, shares = [], [], [], []
    for member in members:
        count = len(member.draw)
        latents.append(member.latent_start + member.draw.pictures_B + member.num_pictures * member.draw.flips_B)
        captions.append(member.caption_start + member.draw.captions_B)
        slots.append(torch.full((count,), member.slot))
        shares.append(torch.full((count,), 1 / count))
    num_samples = sum(len(member.draw) for member in members)
    extra = padded_size(num_samples) - num_samples
    places = [(member.slot, member.context) for member in members if member.context]
    context_X = torch.tensor([place.caption for _, place in places], dtype=torch.long)
    captions_K, caption_of = torch.unique(torch.cat([_padded(captions, extra), context_X]), return_inverse=True)
    caption_of_B, caption_of_X = caption_of.split([num_samples + extra, len(places)])
    spare = padded_size(len(captions_K)) - len(captions_K)

    def send(tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)

    return Batch(
        latents_B=send(_padded(latents, extra)),
        captions_K=send(_padded([captions_K], spare)),
        caption_of_B=send(caption_of_B),
        slot_of_B=send(_padded(slots, extra)),
        share_B=send(torch.cat([*shares, torch.zeros(extra)])),
        timesteps_B=send(_padded([member.draw.timesteps_B for member in members], extra)),
        latent_noise_BCHW=send(_padded([member.draw.latent_noise_BCHW for member in members], extra)),
        noise_BCHW=send(_padded([member.draw.noise_BCHW for member in members], extra)),
        num_samples=num_samples,
        context=_contexts(places, caption_of_X, send) if places else None,
    )


def _contexts(
    places: Sequence[tuple[int, ContextPlace]], caption_of_X: Tensor, send: Callable[[Tensor], Tensor]
) -> ContextBatch:
    extra = padded_size(len(places)) - len(places)
    return ContextBatch(
        caption_of_X=send(_padded([caption_of_X], extra)),
        reference_X=send(_padded([torch.tensor([place.reference for _, place in places])], extra)),
        slot_of_X=send(_padded([torch.tensor([slot for slot, _ in places])], extra)),
        weight_X=send(torch.tensor([place.weight for _, place in places] + [0.0] * extra)),
    )


def _padded(parts: Sequence[Tensor], extra: int) -> Tensor:
    """Concatenate, then repeat the first entry `extra` times."""
    return torch.cat([*parts, parts[0][:1].expand(extra, *parts[0].shape[1:])])
