"""A concept's pictures as latents, made once.

Owns fitting pictures to the pack's size and encoding them: the posterior's mean and standard deviation are kept, also
of the flipped copies, and sampled anew at each step, which is the same distribution as encoding anew. Does not know
slots or steps.

Shapes: P pictures, M = P or 2 P latents (flipped copies last), C latent channels, H x W latent size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.models.base import BaseModel

ENCODE_BATCH = 8
"""Pictures that go through the encoder at once: bounds its memory at 1024 px."""


@dataclass(frozen=True)
class PictureLatents:
    """Posteriors of one concept's pictures, on the device, float32."""

    mean_MCHW: Tensor
    std_MCHW: Tensor
    weight_MHW: Tensor
    """How much each position counts in the loss: 1, or what the mask or the alpha channel says."""
    num_pictures: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.mean_MCHW.shape[1:]
        return channels, height, width


@torch.no_grad()
def encode_pictures(model: BaseModel, pixels_P3hw: Tensor, weight_Phw: Tensor, *, flip: bool) -> PictureLatents:
    """Encode pictures in [-1, 1] with their loss weights, and their mirror images when `flip` asks for them."""
    if flip:
        pixels_P3hw = torch.cat([pixels_P3hw, pixels_P3hw.flip(-1)])
        weight_Phw = torch.cat([weight_Phw, weight_Phw.flip(-1)])
    parts = [model.encode_pixels(part.to(model.device)) for part in _parts(pixels_P3hw)]
    mean_MCHW, std_MCHW = (torch.cat([part[k].float() for part in parts]) for k in (0, 1))
    size = (mean_MCHW.shape[-2], mean_MCHW.shape[-1])
    weight_MHW = torch.nn.functional.adaptive_avg_pool2d(weight_Phw[:, None].to(model.device), size)[:, 0]
    return PictureLatents(mean_MCHW, std_MCHW, weight_MHW, len(pixels_P3hw) // (2 if flip else 1))


def _parts(pixels_P3hw: Tensor) -> list[Tensor]:
    return [pixels_P3hw[start : start + ENCODE_BATCH] for start in range(0, len(pixels_P3hw), ENCODE_BATCH)]
