"""Edits of a picture: where they start (img2img), and what they keep (masks), in latents and in pixels.

Owns the init picture's way into latents and the blending that keeps what a mask protects. Does not know the loop.

Shapes: B batch (1 here), C channels, H rows, W columns.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from textinv.generation.noise_schedulers import NoiseScheduler
from textinv.models.base import BaseModel


@dataclass(frozen=True, eq=False)
class Edit:
    """A picture to edit: its latents, the noise that hides them, and how much each place may change (None: all)."""

    latents_BCHW: Tensor
    noise_BCHW: Tensor
    change_BCHW: Tensor | None
    pixels_HWC: NDArray[np.uint8]
    mask_HW: NDArray[np.uint8] | None

    def keep_latents(self, latents_BCHW: Tensor, scheduler: NoiseScheduler, next_timestep: Tensor | None) -> Tensor:
        """Put back what the mask protects, as noisy as the next inference step expects (None: after the last)."""
        if self.change_BCHW is None:
            return latents_BCHW
        kept_BCHW = self.latents_BCHW
        if next_timestep is not None:
            kept_BCHW = scheduler.add_noise(self.latents_BCHW, self.noise_BCHW, next_timestep.reshape(1))
        return self.change_BCHW * latents_BCHW + (1 - self.change_BCHW) * kept_BCHW

    def keep_pixels(self, pixels_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Put back the protected pixels themselves: the way through latents would blur them."""
        if self.mask_HW is None:
            return pixels_HWC
        change_HWC = self.mask_HW[..., None].astype(np.float32) / 255
        mixed = change_HWC * pixels_HWC + (1 - change_HWC) * self.pixels_HWC
        return np.rint(mixed).astype(np.uint8)


def start_edit(
    model: BaseModel,
    init_image: NDArray[np.uint8],
    mask: NDArray[np.uint8] | None,
    size_px: tuple[int, int],
    generator: torch.Generator,
) -> Edit:
    """Encode the picture to edit, resized to `size_px` (height, width).

    Draws twice from `generator`, in diffusers' order: the posterior's sample, then the noise.
    """
    pixels_HWC = _resize(init_image, size_px)
    pixels_BCHW = torch.from_numpy(pixels_HWC).permute(2, 0, 1)[None].to(torch.float32) / 127.5 - 1
    mean_BCHW, std_BCHW = model.encode_pixels(pixels_BCHW)
    mean_BCHW, std_BCHW = mean_BCHW.float(), std_BCHW.float()
    latents_BCHW = mean_BCHW + std_BCHW * torch.randn(mean_BCHW.shape, generator=generator).to(mean_BCHW.device)
    noise_BCHW = torch.randn(mean_BCHW.shape, generator=generator).to(mean_BCHW.device)
    mask_HW = None if mask is None else _resize(mask, size_px)
    change_BCHW = None
    if mask_HW is not None:
        mask_BCHW = torch.from_numpy(mask_HW)[None, None].to(latents_BCHW) / 255
        change_BCHW = interpolate(mask_BCHW, size=latents_BCHW.shape[-2:], mode="area")
    return Edit(latents_BCHW, noise_BCHW, change_BCHW, pixels_HWC, mask_HW)


def _resize(pixels: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    if pixels.shape[:2] == size_px:
        return np.array(pixels)
    height_px, width_px = size_px
    return np.array(Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.LANCZOS))
