"""The demo base as plain diffusers and transformers models: draw prompts, look at pictures with its CLIP.

Owns loading a demo base's folder and the sampling loop used to measure it, independent of the service's engine. Does
not know concepts or figures.

Legend: B pictures, C channels, H W size, L tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from textinv.demo import WEIGHTS

Pixels = NDArray[np.uint8]
"""`(B, H, W, 3)`."""


@dataclass(frozen=True)
class DemoBase:
    """All parts of a demo base, in float32 on the CPU."""

    tokenizer: CLIPTokenizer
    clip: CLIPModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel | None
    noise_scheduler: DDIMScheduler

    @torch.no_grad()
    def draw(
        self, prompts: Sequence[str], *, seed: int = 0, num_inference_steps: int = 25, guidance_scale: float = 4.0
    ) -> Pixels:
        """Draw one picture per prompt; picture i starts from the noise of `seed + i`."""
        if self.unet is None:
            raise ValueError("this base was loaded without a UNet: pass unet=FOLDER")
        shape = (self.unet.config.in_channels, *(2 * (self.unet.config.sample_size,)))
        noise = [torch.randn(shape, generator=torch.Generator().manual_seed(seed + i)) for i in range(len(prompts))]
        latents_BCHW = torch.stack(noise)
        hidden_BLD = self.hidden([*([""] * len(prompts)), *prompts])
        self.noise_scheduler.set_timesteps(num_inference_steps)
        for timestep in self.noise_scheduler.timesteps:
            both_BCHW = torch.cat([latents_BCHW] * 2).contiguous(memory_format=torch.channels_last)
            empty, asked = self.unet(both_BCHW, timestep, hidden_BLD, added_cond_kwargs={}).sample.chunk(2)
            guided = empty + guidance_scale * (asked - empty)
            latents_BCHW = self.noise_scheduler.step(guided, timestep, latents_BCHW).prev_sample
        return to_uint8(self.vae.decode(latents_BCHW / self.vae.config.scaling_factor).sample)

    def hidden(self, prompts: Sequence[str]) -> Tensor:
        """The text encoder's output `(B, L, D)` that the UNet is given."""
        ids_BL = self.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        return torch.as_tensor(self.clip.text_model(input_ids=ids_BL).last_hidden_state)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Unit features `(B, D)` of texts."""
        ids_BL = self.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
        pooled_BD = self.clip.text_model(input_ids=ids_BL).pooler_output
        return F.normalize(self.clip.text_projection(pooled_BD), dim=-1)

    @torch.no_grad()
    def image_features(self, pixels_BHWC: Pixels) -> Tensor:
        """Unit features `(B, D)` of pictures."""
        pooled_BD = self.clip.vision_model(pixel_values=from_uint8(pixels_BHWC)).pooler_output
        return F.normalize(self.clip.visual_projection(pooled_BD), dim=-1)

    @torch.no_grad()
    def reconstruct(self, pixels_BHWC: Pixels) -> Pixels:
        """Encode and decode pictures."""
        return to_uint8(self.vae.decode(self.vae.encode(from_uint8(pixels_BHWC)).latent_dist.mean).sample)


def load_demo_base(folder: Path = WEIGHTS, unet: Path | None = None) -> DemoBase:
    """Load a demo base; `unet` is another folder to take the UNet from. A folder without a UNet loads without it."""
    unet = unet or folder / "unet"

    def float32(kind: type, path: Path) -> torch.nn.Module:
        model: torch.nn.Module = kind.from_pretrained(path).float().eval().requires_grad_(False)  # type: ignore[attr-defined]
        return model

    return DemoBase(
        CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        float32(CLIPModel, folder / "clip"),
        float32(AutoencoderKL, folder / "vae"),
        float32(UNet2DConditionModel, unet).to(memory_format=torch.channels_last) if unet.exists() else None,  # type: ignore[call-overload]
        DDIMScheduler.from_pretrained(folder / "scheduler"),
    )


def from_uint8(pixels_BHWC: Pixels) -> Tensor:
    """Pictures as `(B, 3, H, W)` in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels_BHWC)).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def to_uint8(pixels_BCHW: Tensor) -> Pixels:
    """Pictures from `(B, 3, H, W)` in [-1, 1]."""
    scaled = pixels_BCHW.clamp(-1, 1).add(1).mul(127.5).round().byte()
    return np.ascontiguousarray(scaled.permute(0, 2, 3, 1).numpy())


def stack(pictures: Sequence[Image.Image]) -> Pixels:
    """Pictures of one size as one array."""
    return np.stack([np.asarray(picture.convert("RGB"), np.uint8) for picture in pictures])
