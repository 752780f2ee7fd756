"""A concept's pictures as latents, made once.

Owns fitting pictures to the concept's size and encoding them: the posterior's mean and standard deviation are kept,
also of the flipped copies, and sampled anew at each step, which is the same distribution as encoding anew. Does not
know slots or steps.

Shapes: P pictures, M = P or 2 P latents (flipped copies last), C latent channels, H x W latent size; 6: height and
width of the picture, top and left of its crop, height and width of what is learned, in pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from textinv.errors import ImageError
from textinv.images import Picture, fit_picture
from textinv.images.fit import crop_box
from textinv.models.base import BaseModel
from textinv.spec import TrainSpec
from textinv.training.work import Work

ENCODE_BATCH = 8
"""Pictures that go through the encoder at once: bounds its memory at 1024 px."""


@dataclass(frozen=True)
class PictureLatents:
    """Posteriors of one concept's pictures, on the device, float32."""

    mean_MCHW: Tensor
    std_MCHW: Tensor
    weight_MHW: Tensor
    """How much each position counts in the loss: 1, or what the mask or the alpha channel says."""
    sizes_M6: Tensor
    """What a base model that takes sizes is told."""
    num_pictures: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.mean_MCHW.shape[1:]
        return channels, height, width


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
    pixels_P3hw = torch.stack([torch.from_numpy(pixels) for pixels, _ in fitted])
    weight_Phw = torch.stack([weight for _, weight in fitted])
    mirrored = (False, True) if work.spec.flip else (False,)
    sizes = [sizes_of(picture, work.spec, is_mirrored) for is_mirrored in mirrored for picture in work.pictures]
    return encode_pictures(model, pixels_P3hw, weight_Phw, torch.tensor(sizes, dtype=torch.float32), work.spec.flip)


def sizes_of(picture: Picture, spec: TrainSpec, mirrored: bool = False) -> tuple[int, int, int, int, int, int]:
    """What SDXL is told of a picture beside its text (Podell et al. 2023, arXiv 2307.01952, section 2.2).

    The crop is counted in pixels of the picture as it is scaled to be learned.
    """
    side = spec.resolution_px
    if not spec.tells_sizes:
        return side, side, 0, 0, side, side
    left, top, right, _ = crop_box(picture, 1.0, spec.crop, seed=spec.seed)
    scale = side / (right - left)
    before = picture.width_px - right if mirrored else left
    return picture.height_px, picture.width_px, round(top * scale), round(before * scale), side, side


def _fit(picture: Picture, spec: TrainSpec) -> tuple[NDArray[np.float32], Tensor]:
    side = spec.resolution_px
    pixels, weight = fit_picture(picture, side, side, spec.crop, seed=spec.seed)
    if weight is not None and not weight.any():
        raise ImageError(
            f"{picture.name} of {spec.name}: its mask or transparency leaves nothing of the square that is kept: crop "
            "the picture around what is to be learned",
            file=picture.name,
        )
    return pixels, torch.ones(side, side) if weight is None else torch.from_numpy(weight)


@torch.no_grad()
def encode_pictures(
    model: BaseModel, pixels_P3hw: Tensor, weight_Phw: Tensor, sizes_M6: Tensor, flip: bool
) -> PictureLatents:
    """Encode pictures in [-1, 1] with their loss weights, and their mirror images when `flip` asks for them."""
    if flip:
        pixels_P3hw = torch.cat([pixels_P3hw, pixels_P3hw.flip(-1)])
        weight_Phw = torch.cat([weight_Phw, weight_Phw.flip(-1)])
    parts = [model.encode_pixels(part.to(model.device)) for part in _parts(pixels_P3hw)]
    mean_MCHW, std_MCHW = (torch.cat([part[k].float() for part in parts]) for k in (0, 1))
    size = (mean_MCHW.shape[-2], mean_MCHW.shape[-1])
    weight_MHW = torch.nn.functional.adaptive_avg_pool2d(weight_Phw[:, None].to(model.device), size)[:, 0]
    num_pictures = len(pixels_P3hw) // (2 if flip else 1)
    return PictureLatents(mean_MCHW, std_MCHW, weight_MHW, sizes_M6.to(model.device), num_pictures)


def _parts(pixels_P3hw: Tensor) -> list[Tensor]:
    return [pixels_P3hw[start : start + ENCODE_BATCH] for start in range(0, len(pixels_P3hw), ENCODE_BATCH)]
