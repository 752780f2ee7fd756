"""A concept's pictures as latents, made once.

Owns fitting pictures to the concept's size and encoding them: the posterior's mean and standard deviation are kept,
also of the flipped copies, and sampled anew at each step, which is the same distribution as encoding anew. Does not
know slots or steps.

Shapes: P pictures, h x w pixels, M = P or 2 P latents (flipped copies last), C latent channels, H x W latent size, A
positions of the largest latent; 6: height and width of the picture, top and left of its crop, height and width of what
is learned, in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.errors import ImageError
from textinv.images import Picture, crop_box, fit_picture, trained_size
from textinv.models.base import BaseModel
from textinv.models.room import is_out_of_memory
from textinv.spec import TrainSpec
from textinv.training.work import Work

Fitted = tuple[Tensor, Tensor]
"""Pixels (3, h, w) in [-1, 1] and the loss weight (h, w) of each."""
ENCODE_BATCH = 8
"""Pictures that go through the encoder at once: bounds its memory at 1024 px."""


@dataclass(frozen=True)
class PictureLatents:
    """Posteriors of one concept's pictures, on the device, float32; positions row by row, zeros behind smaller ones."""

    mean_MCA: Tensor
    std_MCA: Tensor
    weight_MA: Tensor
    """How much each position counts in the loss: 1, or what the mask or the alpha channel says."""
    latent_sizes_M: Sequence[tuple[int, int]]
    """Height and width of each latent."""
    sizes_M6: Tensor
    """What a base model that takes sizes is told."""
    num_pictures: int

    @property
    def shape(self) -> tuple[int, int]:
        """(C, A)."""
        return self.mean_MCA.shape[1], self.mean_MCA.shape[2]


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
    mirrored = (False, True) if work.spec.flip else (False,)
    sizes = [sizes_of(picture, work.spec, is_mirrored) for is_mirrored in mirrored for picture in work.pictures]
    return encode_pictures(model, fitted, torch.tensor(sizes, dtype=torch.float32), flip=work.spec.flip)


def sizes_of(picture: Picture, spec: TrainSpec, mirrored: bool = False) -> tuple[int, int, int, int, int, int]:
    """What SDXL is told of a picture beside its text (Podell et al. 2023, arXiv 2307.01952, section 2.2).

    The crop is counted in pixels of the picture as it is scaled to be learned.
    """
    width, height = _trained_size(picture, spec)
    if not spec.tells_sizes:
        return height, width, 0, 0, height, width
    left, top, right, _ = crop_box(picture, width / height, spec.crop, seed=spec.seed)
    scale = width / (right - left)
    before = picture.width_px - right if mirrored else left
    return picture.height_px, picture.width_px, round(top * scale), round(before * scale), height, width


def _trained_size(picture: Picture, spec: TrainSpec) -> tuple[int, int]:
    return trained_size((picture.width_px, picture.height_px), spec.resolution_px, spec.crop)


def _fit(picture: Picture, spec: TrainSpec) -> Fitted:
    width, height = _trained_size(picture, spec)
    pixels, weight = fit_picture(picture, width, height, spec.crop, seed=spec.seed)
    if weight is not None and not weight.any():
        raise ImageError(
            f"{picture.name} of {spec.name}: its mask or transparency leaves nothing of the part that is kept: crop "
            "the picture around what is to be learned",
            file=picture.name,
        )
    return torch.from_numpy(pixels), torch.ones(height, width) if weight is None else torch.from_numpy(weight)


@torch.no_grad()
def encode_pictures(model: BaseModel, fitted: Sequence[Fitted], sizes_M6: Tensor, *, flip: bool) -> PictureLatents:
    """Encode pictures with their loss weights, and their mirror images when `flip` asks for them.

    Those of one size go through the encoder together, as many as there is memory for.
    """
    if flip:
        fitted = [*fitted, *((pixels.flip(-1), weight.flip(-1)) for pixels, weight in fitted)]
    by_size: dict[torch.Size, list[int]] = {}
    for place, (pixels_3hw, _) in enumerate(fitted):
        by_size.setdefault(pixels_3hw.shape, []).append(place)
    encoded: dict[int, tuple[Tensor, Tensor, Tensor]] = {}
    for places in by_size.values():
        left, most = places, ENCODE_BATCH
        while left:
            now = left[:most]
            try:
                parts = _encode(model, [fitted[place] for place in now])
            except RuntimeError as error:
                if len(now) == 1 or not is_out_of_memory(error):
                    raise
                most = len(now) // 2
            else:
                encoded |= dict(zip(now, parts, strict=True))
                left = left[most:]
    mean, std, weight = zip(*(encoded[place] for place in range(len(fitted))), strict=True)
    return PictureLatents(
        mean_MCA=_as_long([each.flatten(1) for each in mean]),
        std_MCA=_as_long([each.flatten(1) for each in std]),
        weight_MA=_as_long([each.flatten() for each in weight]),
        latent_sizes_M=[(each.shape[-2], each.shape[-1]) for each in mean],
        sizes_M6=sizes_M6.to(model.device),
        num_pictures=len(fitted) // (2 if flip else 1),
    )


def _encode(model: BaseModel, fitted: Sequence[Fitted]) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Mean (C, H, W), deviation and weight (H, W) of each."""
    mean_PCHW, std_PCHW = model.encode_pixels(torch.stack([pixels for pixels, _ in fitted]).to(model.device))
    weight_P1hw = torch.stack([weight for _, weight in fitted])[:, None].to(model.device)
    size = (mean_PCHW.shape[-2], mean_PCHW.shape[-1])
    weight_PHW = torch.nn.functional.adaptive_avg_pool2d(weight_P1hw, size)[:, 0]
    return list(zip(mean_PCHW.float(), std_PCHW.float(), weight_PHW, strict=True))


def _as_long(parts: Sequence[Tensor]) -> Tensor:
    longest = max(part.shape[-1] for part in parts)
    return torch.stack([torch.nn.functional.pad(part, (0, longest - part.shape[-1])) for part in parts])
