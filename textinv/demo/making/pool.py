"""A growing pool of scenes of the world, encoded to latents once and drawn from many times.

Owns encoding and keeping latents with their token ids, on the VAE's device. Does not know the UNet or any optimizer.

Legend: N pictures, C latent channels, H W latent size, L tokens.
"""

from dataclasses import dataclass, field

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from textinv.demo.making.composing import Composer
from textinv.demo.making.drawing import Pixels, from_uint8

SHARD = 256
"""Pictures that are composed and encoded at once."""


@dataclass
class LatentPool:
    """Latents (posterior means, fp16) and token ids of composed pictures; deterministic given the composer's seed.

    Starts with one shard."""

    composer: Composer
    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    latents_NCHW: Tensor = field(init=False)
    ids_NL: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self._batches = self.composer.batches(SHARD)
        self.latents_NCHW, self.ids_NL = self._shard()

    def __len__(self) -> int:
        return len(self.ids_NL)

    def grow(self, num_pictures: int) -> None:
        """Compose and encode `num_pictures` more pictures, rounded up to whole shards."""
        shards = [(self.latents_NCHW, self.ids_NL), *(self._shard() for _ in range(-(-num_pictures // SHARD)))]
        self.latents_NCHW, self.ids_NL = (torch.cat(parts) for parts in zip(*shards, strict=True))

    def _shard(self) -> tuple[Tensor, Tensor]:
        pixels, captions = next(self._batches)
        return self.encode(pixels).half(), self.tokenize(captions)

    @torch.no_grad()
    def encode(self, pixels_NHWC: Pixels) -> Tensor:
        """Encode uint8 pictures to scaled latents."""
        pixels = from_uint8(pixels_NHWC).to(self.vae.device)
        latents = self.vae.encode(pixels.contiguous(memory_format=torch.channels_last)).latent_dist.mean
        return torch.as_tensor(latents * self.vae.config.scaling_factor)

    def tokenize(self, captions: list[str]) -> Tensor:
        """Token ids `(N, L)` padded to the text encoder's window."""
        ids = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return torch.as_tensor(ids, device=self.vae.device)

    def draw(self, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `num` latents (fp32) and their ids, uniformly with replacement; `generator` is of the VAE's device."""
        index_B = torch.randint(len(self), (num,), generator=generator, device=self.vae.device)
        return self.latents_NCHW[index_B].float(), self.ids_NL[index_B]
