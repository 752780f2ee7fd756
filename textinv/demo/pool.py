"""A growing pool of scenes of the world, encoded to latents once and drawn from many times.

Owns composing, encoding and keeping latents with their token ids. Does not know the UNet or any optimizer.

Legend: N pictures, C latent channels, H W latent size, L tokens.
"""

import random
from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from textinv.demo.world import World, draw


@dataclass
class LatentPool:
    """Latents (posterior means, fp16) and token ids of pictures of `world`; deterministic given `seed`."""

    world: World
    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    seed: int = 0
    latents_NCHW: list[Tensor] = field(default_factory=list)
    ids_NL: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.ids_NL)

    @torch.no_grad()
    def grow(self, num_pictures: int, batch: int = 256) -> None:
        """Compose and encode `num_pictures` more pictures."""
        rng = random.Random(f"{self.seed}/{len(self)}")
        for start in range(0, num_pictures, batch):
            scenes = [self.world.sample(rng) for _ in range(min(batch, num_pictures - start))]
            pixels = np.stack([np.asarray(draw(scene, self.world.sprites)) for scene, _ in scenes])
            self.latents_NCHW.append(self.encode(torch.from_numpy(pixels)).half())
            self.ids_NL.append(self.tokenize([caption for _, caption in scenes]))

    @torch.no_grad()
    def encode(self, pixels_NHWC: Tensor) -> Tensor:
        """Encode uint8 pictures to scaled latents."""
        device = self.vae.device
        pixels = pixels_NHWC.to(device).permute(0, 3, 1, 2).float().div(127.5).sub(1)
        latents = self.vae.encode(pixels.contiguous(memory_format=torch.channels_last)).latent_dist.mean
        return torch.as_tensor(latents * self.vae.config.scaling_factor)

    def tokenize(self, captions: list[str]) -> Tensor:
        """Token ids `(N, L)` padded to the text encoder's window."""
        return torch.as_tensor(
            self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        )

    def draw(self, num: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw `num` latents (fp32) and their ids, uniformly with replacement."""
        index = torch.randint(len(self), (num,), generator=generator)
        shard = len(self.ids_NL[0])
        pairs = [(self.latents_NCHW[i // shard][i % shard], self.ids_NL[i // shard][i % shard]) for i in index.tolist()]
        latents, ids = zip(*pairs, strict=True)
        return torch.stack(latents).float(), torch.stack(ids)
