"""One inference step of many pictures at once: one UNet forward over all their rows.

Owns the grouping of rows into forwards, classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6),
rescaled where that is asked for (Lin et al. 2023, arXiv 2305.08891, eq. 15 and 16), and decoding. Does not know who
waits or when a picture joins. Where the work on a picture fails, its error stands in the place of its result.

Shapes: B rows, C channels, H rows of latents or pixels, W columns.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.generation.picture import ActiveImage
from textinv.models.base import BaseModel, Conditioning
from textinv.models.prompt import GUIDANCE, SIZES
from textinv.models.room import Room, is_out_of_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class Row(NamedTuple):
    """One row of a UNet forward: a picture's scaled latents, time, sizes and guidance with one of its prompts."""

    image: int
    input_BCHW: Tensor
    time: Tensor
    conditioning: Conditioning
    sizes_16: Tensor | None
    guidance: float


MOST_ROWS = 128
"""Of one forward, as long as there is memory for them."""


def room_for_rows() -> Room:
    """What is not known yet of the memory that forwards and decoding take."""
    return Room(MOST_ROWS)


def predict_guided(model: BaseModel, inputs: Mapping[ActiveImage, Tensor], room: Room) -> list[Tensor | Exception]:
    """Predict for every picture from its scaled latents, guidance applied.

    A picture without an unconditional prompt takes one row, others two.
    """
    images = list(inputs)
    conditional = [_row(inputs, k, image, image.conditional) for k, image in enumerate(images)]
    unconditional = [_row(inputs, k, image, found) for k, image in enumerate(images) if (found := image.unconditional)]
    rows = conditional + unconditional
    predicted: list[Tensor | Exception] = [torch.empty(0)] * len(rows)
    for shape, group in _group_rows(model, rows).items():
        kind = (*shape, "tokens", max(rows[place].conditioning.num_tokens for place in group))
        outs = in_halves(lambda part: _predict(model, part), [rows[place] for place in group], room, kind)
        for place, out_BCHW in zip(group, outs, strict=True):
            predicted[place] = out_BCHW
    guided = predicted[: len(images)]
    for row, without_BCHW in zip(unconditional, predicted[len(images) :], strict=True):
        asked = images[row.image].waiting.asked
        rescale = asked.request.guidance_rescale
        guided[row.image] = _guide(guided[row.image], without_BCHW, asked.guidance_scale, rescale)
    return guided


def decode_pixels(model: BaseModel, latents: Sequence[Tensor], room: Room) -> list[NDArray[np.uint8] | Exception]:
    """Decode latents (1, C, H, W) to pixels (H, W, 3), those of one shape together; NaN comes out black."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, latents_BCHW in enumerate(latents):
        by_shape[tuple(latents_BCHW.shape)].append(place)
    decoded: dict[int, NDArray[np.uint8] | Exception] = {}
    for shape, places in by_shape.items():
        pixels = in_halves(lambda part: _decode(model, part), [latents[k] for k in places], room, ("decode", *shape))
        decoded.update(zip(places, pixels, strict=True))
    return [decoded[place] for place in range(len(latents))]


def in_halves(
    work: Callable[[list[Item]], list[Result]], items: list[Item], room: Room | None = None, kind: Hashable = None
) -> list[Result | Exception]:
    """Do the work on all items at once, or on as many as there is room for; in ever smaller parts where it fails, so
    that one fails alone. What does not fit is remembered: the next work of its kind begins with fewer."""
    most = len(items) if room is None else room.found.get(kind, room.first)
    if len(items) > most:
        return in_halves(work, items[:most], room, kind) + in_halves(work, items[most:], room, kind)
    try:
        results = [*work(items)]
    except Exception as error:
        failed, lacks_memory = error, is_out_of_memory(error)
    else:
        if room is not None and len(items) == most:
            room.was_full(kind)
        return [*results]
    if lacks_memory and room is not None:
        failed.__traceback__ = None  # it holds on to what the forward had allocated
        room.lacked(kind, len(items))
    if len(items) == 1:
        return [failed]
    middle = len(items) // 2
    return in_halves(work, items[:middle], room, kind) + in_halves(work, items[middle:], room, kind)


def _row(inputs: Mapping[ActiveImage, Tensor], k: int, image: ActiveImage, conditioning: Conditioning) -> Row:
    guidance = image.waiting.asked.guidance_scale
    return Row(k, inputs[image], image.time, conditioning, image.sizes_16, guidance)


def _guide(
    with_BCHW: Tensor | Exception, without_BCHW: Tensor | Exception, scale: float, rescale: float
) -> Tensor | Exception:
    if isinstance(with_BCHW, Exception):
        return with_BCHW
    if isinstance(without_BCHW, Exception):
        return without_BCHW
    guided_BCHW = without_BCHW + scale * (with_BCHW - without_BCHW)
    if not rescale:
        return guided_BCHW
    over = tuple(range(1, with_BCHW.ndim))
    as_wide_BCHW = guided_BCHW * (with_BCHW.std(over, keepdim=True) / guided_BCHW.std(over, keepdim=True))
    return rescale * as_wide_BCHW + (1 - rescale) * guided_BCHW


def _group_rows(model: BaseModel, rows: Sequence[Row]) -> Mapping[tuple[int, ...], list[int]]:
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        tokens = () if model.masks_text else (row.conditioning.num_tokens,)
        groups[(*row.input_BCHW.shape, *tokens)].append(place)
    return groups


def _predict(model: BaseModel, rows: list[Row]) -> list[Tensor]:
    noisy_BCHW = torch.cat([row.input_BCHW for row in rows])
    times_B = torch.stack([row.time for row in rows]).to(noisy_BCHW.device, torch.float32)
    conditioning = model.batched([row.conditioning for row in rows])
    sizes = [row.sizes_16 for row in rows if row.sizes_16 is not None]
    told = {SIZES: torch.cat(sizes)} if sizes else {}
    if model.guides == "input":
        told[GUIDANCE] = torch.tensor([row.guidance for row in rows], device=noisy_BCHW.device)
    predicted_BCHW = model.predict(noisy_BCHW, times_B, conditioning.told(**told))
    return [predicted_BCHW[k : k + 1] for k in range(len(rows))]


def _decode(model: BaseModel, latents: list[Tensor]) -> list[NDArray[np.uint8]]:
    pixels_BCHW = model.decode_latents(torch.cat(latents)).float()
    scaled_BHWC = ((pixels_BCHW / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round()
    return list(scaled_BHWC.nan_to_num(0).to(torch.uint8).cpu().numpy())
