"""Figures of the demo base's CLIP and VAE on pictures that they were not trained on.

Owns two measurements, each on a fixed draw of the world. Does not know the UNet; what the whole base draws is measured
in `drawing_figures`.
"""

import random

import numpy as np
import torch

from textinv.demo.artwork import default_world, demo_sprites
from textinv.demo.icons import HELD_OUT_OBJECTS, STYLE_WORDS
from textinv.demo.making.drawing import DemoBase, stack
from textinv.demo.world import World, draw

CLIP_BATCH = 128
_SEED = "measure"


def clip_top1(base: DemoBase, num_batches: int = 8) -> float:
    """Share of pictures whose own caption scores best among those of its batch of 128.

    Fresh scenes of the world; captions equal to a picture's own do not compete with it.
    """
    world, rng, hits = default_world(), random.Random(f"{_SEED}/clip"), 0
    for _ in range(num_batches):
        scenes = [world.sample(rng) for _ in range(CLIP_BATCH)]
        captions = [caption for _, caption in scenes]
        pixels = stack([draw(scene, world.sprites) for scene, _ in scenes])
        scores = base.image_features(pixels) @ base.text_features(captions).T
        own = torch.eye(CLIP_BATCH, dtype=torch.bool)
        hits += int((scores.masked_fill(same_captions(captions) & ~own, -2).argmax(1) == own.long().argmax(1)).sum())
    return hits / (num_batches * CLIP_BATCH)


def same_captions(captions: list[str]) -> torch.Tensor:
    """`(B, B)`: whether two captions are equal."""
    number = {caption: place for place, caption in enumerate(captions)}
    numbers = torch.tensor([number[caption] for caption in captions])
    return torch.as_tensor(numbers[:, None] == numbers[None])


def vae_psnr(base: DemoBase, num_pictures: int = 256) -> float:
    """Peak signal-to-noise ratio in dB over pictures of held-out objects in every style."""
    world, rng = World(demo_sprites(), HELD_OUT_OBJECTS, tuple(STYLE_WORDS)), random.Random(f"{_SEED}/vae")
    pixels = stack([draw(world.sample(rng)[0], world.sprites) for _ in range(num_pictures)])
    drawn = np.concatenate([base.reconstruct(pixels[start : start + 32]) for start in range(0, num_pictures, 32)])
    error = np.square(drawn.astype(np.float32) - pixels.astype(np.float32)).mean()
    return float(10 * np.log10(255**2 / error))
