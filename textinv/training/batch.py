"""What a pack's forwards take: what all slots draw, joined, and cut into batches that fit.

From top to bottom: the pool of everything that slots learn from, so that a step only indexes; what their draws say
together; a batch, which is one forward's share of it, of one latent size; the forwards, smaller where memory runs out;
the losses of a batch. Whatever the cut, the sum over batches is the same: every sample counts by its share of its
slot's mean. Does not know rows' optimizers, nor when a step is taken.

Gal et al. 2022, arXiv:2208.01618, eq. 2: min over v of E ||eps - eps_theta(z_t, t, c_theta(y(v)))||^2.

Shapes: M latents or captions of all slots, A positions of the largest latent, B samples, K distinct captions, X context
prompts, S slots, V vectors per slot, P prompts of the context term, C x H x W latents; L, D as in `models.base`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.models.base import BaseModel, Conditioning, Tokens
from textinv.models.prompt import SIZES, with_outputs
from textinv.models.room import Room, is_out_of_memory
from textinv.spec import OUTPUT
from textinv.training.context import References
from textinv.training.slot import Slot
from textinv.training.streams import Integers, padded, padded_size

Result = TypeVar("Result")
LatentSize = tuple[int, int]
"""Height and width."""


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
    """Latents and captions of all slots, one after the other, on the device."""

    mean_MCA: Tensor
    """Each latent's positions row by row; smaller ones end in zeros, as in the next two."""
    std_MCA: Tensor
    weight_MA: Tensor
    latent_sizes_M: Sequence[LatentSize]
    sizes_M6: Tensor
    """What a base model that takes sizes is told."""
    captions: Mapping[str, Tokens | Conditioning]
    """Per text encoder tokens, or what it says of them, where nothing that it reads learns in any slot."""
    references: References | None
    places: Mapping[int, Place]
    """By the slot's index."""

    @classmethod
    def of(cls, slots: Sequence[Slot], num_vectors: int) -> "Pool":
        """Join the latents and captions of all slots; row indices count through a table of `num_vectors` per slot."""
        places, latents, captions, references = {}, 0, 0, 0
        for slot in slots:
            context = captions + slot.first_context_caption
            places[slot.index] = Place(latents, slot.latents.num_pictures, captions, context, references)
            latents += len(slot.latents.mean_MCA)
            captions += slot.num_captions
            references += slot.num_context_prompts
        names = dict.fromkeys(name for slot in slots for name in slot.captions)
        given = [slot.references for slot in slots if slot.references is not None]
        return cls(
            mean_MCA=_as_long([slot.latents.mean_MCA for slot in slots]),
            std_MCA=_as_long([slot.latents.std_MCA for slot in slots]),
            weight_MA=_as_long([slot.latents.weight_MA for slot in slots]),
            latent_sizes_M=[size for slot in slots for size in slot.latents.latent_sizes_M],
            sizes_M6=torch.cat([slot.latents.sizes_M6 for slot in slots]),
            captions={name: _heard(slots, name) or _joined(slots, name, num_vectors) for name in names},
            references=References.cat(given) if given else None,
            places=places,
        )


def _as_long(parts: Sequence[Tensor]) -> Tensor:
    """Joined along the first axis, with zeros where the last one is shorter than the longest."""
    longest = max(part.shape[-1] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in parts])


def _heard(slots: Sequence[Slot], name: str) -> Conditioning | None:
    said = [slot.heard[name].tensors for slot in slots if name in slot.heard]
    if len(said) < len(slots):
        return None
    return Conditioning({tensor: torch.cat([one[tensor] for one in said]) for tensor in said[0]})


def _joined(slots: Sequence[Slot], name: str, num_vectors: int) -> Tokens:
    parts = [slot.captions[name] if name in slot.captions else _without_rows(slot, name) for slot in slots]
    rows = [
        torch.where(part.row_BL >= 0, part.row_BL + slot.index * num_vectors, -1)
        for part, slot in zip(parts, slots, strict=True)
    ]
    return Tokens(torch.cat([part.ids_BL for part in parts]), torch.cat(rows))


def _without_rows(slot: Slot, name: str) -> Tokens:
    """The captions of a concept that writes no rows into what an encoder says, as others of the pack do."""
    read = slot.captions[name.removesuffix(OUTPUT)]
    return Tokens(read.ids_BL, torch.full_like(read.row_BL, -1))


@dataclass(frozen=True)
class Samples:
    """What all slots draw for their step, or their fixed batches, on the CPU."""

    latents_B: Integers
    """Index of each sample's latent in the pool; the next one likewise."""
    captions_B: Integers
    slots_B: Integers
    timesteps_B: NDArray[Any]
    share_B: NDArray[np.float32]
    """Weight of each sample within its slot's mean."""
    noises_2BCA: NDArray[np.float32]
    """For the sample of a latent's distribution, and for the timestep."""
    contexts_4X: Integers
    """Of each context prompt: the sample that it goes with, and what `ContextBatch` says of it but for its weight."""
    weight_X: NDArray[np.float32]


def joined(pool: Pool, slots: Sequence[Slot], *, fixed: bool = False) -> Samples:
    """Join what every slot draws for its step, or for its fixed batch."""
    places = [pool.places[slot.index] for slot in slots]
    draws = [slot.fixed_draw() if fixed else slot.training_draw() for slot in slots]
    counts = np.array([len(draw) for draw in draws])
    begins = np.cumsum(counts) - counts
    prompts = [None if fixed else slot.context_prompt() for slot in slots]
    contexts = [
        (begin, place.context_captions + at, place.references + at, slot.index, slot.spec.context_weight)
        for begin, place, at, slot in zip(begins, places, prompts, slots, strict=True)
        if at is not None
    ]
    drawn = list(zip(places, draws, strict=True))
    return Samples(
        latents_B=np.concatenate([at.latents + draw.pictures_B + at.num_pictures * draw.flips_B for at, draw in drawn]),
        captions_B=np.concatenate([at.captions + draw.captions_B for at, draw in drawn]),
        slots_B=np.repeat([slot.index for slot in slots], counts),
        timesteps_B=np.concatenate([draw.timesteps_B for draw in draws]),
        share_B=np.repeat(1 / counts, counts).astype(np.float32),
        noises_2BCA=_side_by_side([draw.noises_2BCA for draw in draws]),
        contexts_4X=np.array([context[:4] for context in contexts], dtype=np.int64).reshape(-1, 4).T,
        weight_X=np.array([context[4] for context in contexts], dtype=np.float32),
    )


def _side_by_side(noises: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Joined along the samples; what stands behind the end of a shorter one is never read."""
    if len({each.shape[-1] for each in noises}) == 1:
        return np.concatenate(noises, axis=1)
    longest = max(each.shape[-1] for each in noises)
    return np.concatenate([np.pad(each, ((0, 0),) * 3 + ((0, longest - each.shape[-1]),)) for each in noises], axis=1)


@dataclass(frozen=True)
class ContextBatch:
    """The context prompts of a batch, padded with weight zero."""

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
    """Index into `captions_K`: samples with the same caption share one row of the text encoder."""
    slot_of_B: Tensor
    share_B: Tensor
    """Padding, which repeats the first sample, weighs 0."""
    timesteps_B: Tensor
    latent_noise_BCHW: Tensor
    noise_BCHW: Tensor
    context: ContextBatch | None


def cut(samples: Samples, chosen: Integers, size: LatentSize, device: torch.device) -> Batch:
    """The batch of the samples at these places, all of one latent size, padded to one of a few sizes, on the device."""
    extra = padded_size(len(chosen)) - len(chosen)
    at = padded([chosen], extra)
    share_B = samples.share_B[at]
    share_B[len(chosen) :] = 0
    riding_X = np.isin(samples.contexts_4X[0], chosen)
    _, captions_X, references_X, slots_X = samples.contexts_4X[:, riding_X]
    captions_K, index = np.unique([*samples.captions_B[at], *captions_X], return_inverse=True)
    caption_of_B, caption_of_X = np.split(index, [len(at)])
    captions_K = padded([captions_K], padded_size(len(captions_K)) - len(captions_K))
    indices_3B = np.stack([samples.latents_B[at], caption_of_B, samples.slots_B[at]])
    indices = _sent(torch.from_numpy(indices_3B), device).unbind()
    noises_2BCA = samples.noises_2BCA[:, at, :, : size[0] * size[1]]
    noises = _sent(torch.from_numpy(noises_2BCA.reshape(*noises_2BCA.shape[:3], *size)), device).unbind()
    context = None
    if len(captions_X):
        weight_X = samples.weight_X[riding_X]
        context = _contexts(np.stack([caption_of_X, references_X, slots_X]), weight_X, device)
    return Batch(
        latents_B=indices[0],
        captions_K=_sent(torch.from_numpy(captions_K), device),
        caption_of_B=indices[1],
        slot_of_B=indices[2],
        share_B=_sent(torch.from_numpy(share_B), device),
        timesteps_B=_sent(torch.from_numpy(samples.timesteps_B[at]), device),
        latent_noise_BCHW=noises[0],
        noise_BCHW=noises[1],
        context=context,
    )


def _contexts(indices_3X: Integers, weight_X: NDArray[np.float32], device: torch.device) -> ContextBatch:
    extra = padded_size(len(weight_X)) - len(weight_X)
    padded_3X = np.stack([padded([each], extra) for each in indices_3X])
    caption_of, reference, slot_of = _sent(torch.from_numpy(padded_3X), device).unbind()
    weights = _sent(torch.from_numpy(np.pad(weight_X, (0, extra))), device)
    return ContextBatch(caption_of, reference, slot_of, weights)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


class NoRoomError(torch.OutOfMemoryError):
    """Not even one sample of a slot fits into memory."""

    def __init__(self, slot: int, said: str) -> None:
        super().__init__(said)
        self.slot = slot
        """Its index."""


def each_forward(
    pool: Pool, samples: Samples, room: Room, device: torch.device, work: Callable[[Batch], Result]
) -> list[Result]:
    """Do the work on all samples, in forwards of one latent size and of as many as there is room for.

    Raises:
        NoRoomError: one sample alone does not fit.
    """
    by_size: dict[LatentSize, list[int]] = {}
    for place, latent in enumerate(samples.latents_B):
        by_size.setdefault(pool.latent_sizes_M[latent], []).append(place)
    results = []
    for size, places in by_size.items():
        kind, left = (*size, torch.is_grad_enabled()), np.array(places)
        while len(left):
            most = room.found.get(kind, room.first)
            chosen = left[:most]
            batch = cut(samples, chosen, size, device)
            lacking = None
            try:
                results.append(work(batch))
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                lacking = str(error)  # the error itself holds on to what the forward had allocated
            del batch
            if lacking is None:
                left = left[most:]
                if len(chosen) == most:
                    room.was_full(kind)
            elif not room.lacked(kind, len(chosen)):
                raise NoRoomError(int(samples.slots_B[chosen[0]]), lacking)
    return results


def slot_losses(model: BaseModel, pool: Pool, batch: Batch, rows: Mapping[str, Tensor]) -> Tensor:
    """What a batch adds to the mean loss of each slot (S,), float32; differentiable in `rows` (S, V, D)."""
    size = batch.noise_BCHW.shape[-2:]
    mean_BCHW, std_BCHW, weight_BHW = (
        _of_size(each[batch.latents_B], size) for each in (pool.mean_MCA, pool.std_MCA, pool.weight_MA)
    )
    latents_BCHW = mean_BCHW + std_BCHW * batch.latent_noise_BCHW
    noisy_BCHW = model.process.noised(latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
    encoded = _encoded(model, pool, batch, rows)
    told = encoded.index(batch.caption_of_B).told(**{SIZES: pool.sizes_M6[batch.latents_B]})
    predicted_BCHW = model.predict(noisy_BCHW, batch.timesteps_B, told)
    target_BCHW = model.process.target(latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
    loss_B = sample_losses(predicted_BCHW, target_BCHW, weight_BHW)
    num_slots = next(iter(rows.values())).shape[0]
    loss_S = torch.zeros(num_slots, device=loss_B.device).index_add(0, batch.slot_of_B, loss_B * batch.share_B)
    if batch.context is None or pool.references is None:
        return loss_S
    context, references = batch.context, pool.references
    hidden_XLD, at_X = encoded[references.tensor][context.caption_of_X], context.reference_X
    loss_X = context_losses(hidden_XLD, references.hidden_PLD[at_X], references.mask_PL[at_X])
    term_S = torch.zeros(num_slots, device=loss_X.device).index_add(0, context.slot_of_X, loss_X * context.weight_X)
    return loss_S + term_S


def _encoded(model: BaseModel, pool: Pool, batch: Batch, rows: Mapping[str, Tensor]) -> Conditioning:
    """What the text encoders say of a batch's captions; nothing goes through one that reads nothing new."""
    tokens = {name: captions.index(batch.captions_K) for name, captions in pool.captions.items()}
    flat = {name: rows_SVD.flatten(0, 1) for name, rows_SVD in rows.items()}
    said = model.encode_text(tokens, flat)
    is_written = any(name.endswith(OUTPUT) for name in tokens)
    return with_outputs(said, model.spans(), tokens, flat) if is_written else said


def _of_size(latents: Tensor, size: Sequence[int]) -> Tensor:
    """The positions of the first latents row by row (..., A) as a map (..., H, W)."""
    return latents[..., : size[0] * size[1]].reshape(*latents.shape[:-1], *size)


def sample_losses(predicted_BCHW: Tensor, target_BCHW: Tensor, weight_BHW: Tensor | None) -> Tensor:
    """Mean squared error of each sample (B,) in float32; with a weight, the weighted mean over its positions."""
    error_BHW = (predicted_BCHW.float() - target_BCHW.float()).square().mean(1)
    if weight_BHW is None:
        return error_BHW.mean((1, 2))
    return (error_BHW * weight_BHW).sum((1, 2)) / weight_BHW.sum((1, 2)).clamp_min(1e-6)


def context_losses(hidden_XLD: Tensor, reference_XLD: Tensor, mask_XL: Tensor) -> Tensor:
    """Mean over the compared positions of 1 - cosine, per prompt (X,), float32."""
    cosine_XL = torch.nn.functional.cosine_similarity(hidden_XLD.float(), reference_XLD.float(), dim=-1)
    return ((1 - cosine_XL) * mask_XL).sum(1) / mask_XL.sum(1).clamp_min(1)
