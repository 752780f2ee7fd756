"""One inference step of many pictures at once: one UNet forward over all their rows.

Owns the grouping of rows into forwards, classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598, eq. 6) and
decoding. Does not know who waits or when a picture joins.

Shapes: B rows, C channels, H rows of latents or pixels, W columns.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import OutOfMemoryError
from textinv.generation.active import ActiveImage
from textinv.models.base import BaseModel, Conditioning

Item = TypeVar("Item")
Result = TypeVar("Result")


class Row(NamedTuple):
    """One row of a UNet forward: a picture's scaled latents and timestep with one of its prompts."""

    image: int
    input_BCHW: Tensor
    timestep: Tensor
    conditioning: Conditioning


class Guided(NamedTuple):
    """What one inference step needs of a picture: what went into the UNet, and the guided prediction that came out."""

    input_BCHW: Tensor
    predicted_BCHW: Tensor


def predict_guided(model: BaseModel, images: Sequence[ActiveImage]) -> list[Guided]:
    """Predict for every picture, guidance applied; one without an unconditional prompt takes one row, others two.

    Raises:
        OutOfMemoryError: the device cannot hold a single row.
    """
    inputs = [image.model_input() for image in images]
    conditional = [_row(images, inputs, k, images[k].conditional) for k in range(len(images))]
    unconditional = [_row(images, inputs, k, found) for k in range(len(images)) if (found := images[k].unconditional)]
    rows = conditional + unconditional
    predicted: list[Tensor] = [torch.empty(0)] * len(rows)
    for group in _group_rows(model, rows):
        outs = in_halves(lambda part: _predict(model, part), [rows[place] for place in group])
        for place, out_BCHW in zip(group, outs, strict=True):
            predicted[place] = out_BCHW
    guided = predicted[: len(images)]
    for row, without_BCHW in zip(unconditional, predicted[len(images) :], strict=True):
        scale = images[row.image].waiting.request.guidance_scale
        guided[row.image] = without_BCHW + scale * (guided[row.image] - without_BCHW)
    return [Guided(*pair) for pair in zip(inputs, guided, strict=True)]


def decode_pixels(model: BaseModel, latents: Sequence[Tensor]) -> list[NDArray[np.uint8]]:
    """Decode latents (1, C, H, W) to pixels (H, W, 3), those of one shape together; NaN comes out black."""
    by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, latents_BCHW in enumerate(latents):
        by_shape[tuple(latents_BCHW.shape)].append(place)
    decoded: dict[int, NDArray[np.uint8]] = {}
    for places in by_shape.values():
        pixels = in_halves(lambda part: _decode(model, part), [latents[k] for k in places])
        decoded.update(zip(places, pixels, strict=True))
    return [decoded[place] for place in range(len(latents))]


def estimate_clean(model: BaseModel, guided: Guided, timestep: Tensor) -> Tensor:
    """Estimate the finished latents from a prediction in mid-way, for a preview (variance-preserving form)."""
    alphas_T = model.alphas_cumprod_T
    alpha = alphas_T[int(timestep.round().clamp(0, len(alphas_T) - 1))].to(guided.input_BCHW)
    if model.prediction_type == "v_prediction":
        return alpha.sqrt() * guided.input_BCHW - (1 - alpha).sqrt() * guided.predicted_BCHW
    if model.prediction_type == "sample":
        return guided.predicted_BCHW
    return (guided.input_BCHW - (1 - alpha).sqrt() * guided.predicted_BCHW) / alpha.sqrt()


def in_halves(work: Callable[[list[Item]], list[Result]], items: list[Item]) -> list[Result]:
    """Do the work on all items at once, or in ever smaller parts when memory runs out.

    Raises:
        OutOfMemoryError: not even one item fits.
    """
    try:
        return work(items)
    except torch.OutOfMemoryError as error:
        if len(items) == 1:
            raise OutOfMemoryError(f"not even one picture fits into memory: {error}; ask for a smaller one") from error
    torch.cuda.empty_cache()
    middle = len(items) // 2
    return in_halves(work, items[:middle]) + in_halves(work, items[middle:])


def _row(images: Sequence[ActiveImage], inputs: Sequence[Tensor], k: int, conditioning: Conditioning) -> Row:
    return Row(k, inputs[k], images[k].timestep, conditioning)


def _group_rows(model: BaseModel, rows: Sequence[Row]) -> list[list[int]]:
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        tokens = () if model.masks_text else row.conditioning.hidden_BLD.shape[1:2]
        groups[(*row.input_BCHW.shape, *tokens)].append(place)
    return list(groups.values())


def _predict(model: BaseModel, rows: list[Row]) -> list[Tensor]:
    noisy_BCHW = torch.cat([row.input_BCHW for row in rows])
    timesteps_B = torch.stack([row.timestep for row in rows]).to(noisy_BCHW.device, torch.float32)
    conditioning = Conditioning.cat([row.conditioning for row in rows])
    predicted_BCHW = model.predict(noisy_BCHW, timesteps_B, conditioning)
    return [predicted_BCHW[k : k + 1] for k in range(len(rows))]


def _decode(model: BaseModel, latents: list[Tensor]) -> list[NDArray[np.uint8]]:
    pixels_BCHW = model.decode_latents(torch.cat(latents)).float()
    scaled_BHWC = ((pixels_BCHW / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1) * 255).round()
    return list(scaled_BHWC.nan_to_num(0).to(torch.uint8).cpu().numpy())
