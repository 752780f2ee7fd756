"""Random draws of training: each a pure function of (concept seed, purpose, step).

Owns the seeds and the draws of one concept's step: which pictures, captions, timesteps and noise. No stream has a
state, so a concept draws the same alone, among strangers, and after it was interrupted. Also the few sizes that joined
draws are padded to. Does not know models or slots.
Draws are made on the CPU, so that every device gets the same ones; few and cheap calls, because a GPU waits for them.

Shapes: B samples of one concept in a step, C latent channels, A positions of the concept's largest latent.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from textinv.models.process import Band, NoiseProcess

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Draw:
    """What one concept draws for a batch of B samples; on the CPU."""

    pictures_B: Integers
    flips_B: Integers
    """1 where the flipped copy of a picture is taken."""
    captions_B: Integers
    timesteps_B: NDArray[Any]
    """As the base model's process counts time."""
    noises_2BCA: NDArray[np.float32]
    """Normal: for the sample of a picture's latent distribution, and for the timestep's noise; of a picture whose
    latents are smaller than the largest, the first ones are meant."""

    def __len__(self) -> int:
        return len(self.pictures_B)


@dataclass(frozen=True)
class Choices:
    """What a concept may draw from."""

    num_pictures: int
    num_templates: int
    band: Band
    process: NoiseProcess
    """Which turns what is drawn within the band into timesteps."""
    flip: bool
    latent_shape: tuple[int, int]
    """Channels, and positions of the largest latent."""
    own_captions: tuple[int, ...] = ()
    """Per picture: the index of its own caption, or -1 where any template may be drawn; empty: no picture has one."""


def seed_of(seed: int, purpose: str, *indices: int) -> int:
    """Hash a concept's seed, a purpose and indices into the seed of one draw."""
    text = "/".join((str(seed), purpose, *map(str, indices)))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")


def stream(seed: int, purpose: str, *indices: int) -> torch.Generator:
    """A fresh CPU generator for one purpose at one step."""
    return torch.Generator().manual_seed(seed_of(seed, purpose, *indices))


def draw(seed: int, step: int, num_samples: int, choices: Choices, purpose: str = "train") -> Draw:
    """Draw the samples of one step.

    Pictures and captions come in shuffled rounds, so that each is used equally often. Timesteps are stratified: one
    from each of `num_samples` equal parts of the band, which keeps their distribution uniform and their mean steady.
    """
    positions = range(step * num_samples, (step + 1) * num_samples)
    pictures_B = _shuffled(seed, f"{purpose}/pictures", choices.num_pictures, positions)
    captions_B = _shuffled(seed, f"{purpose}/captions", max(1, choices.num_templates), positions)
    if choices.own_captions:
        own_B = np.array(choices.own_captions)[pictures_B]
        captions_B = np.where(own_B >= 0, own_B, captions_B)
    generator = stream(seed, f"{purpose}/samples", step)
    coin_B, uniform_B = torch.rand((2, num_samples), generator=generator).numpy()
    return Draw(
        pictures_B=pictures_B,
        flips_B=((coin_B < 0.5) & choices.flip).astype(np.int64),
        captions_B=captions_B,
        timesteps_B=choices.process.times(choices.band, stratified(uniform_B)),
        noises_2BCA=torch.randn((2, num_samples, *choices.latent_shape), generator=generator).numpy(),
    )


def draw_index(seed: int, purpose: str, step: int, count: int) -> int:
    """Draw one of `count` things, in shuffled rounds."""
    return _round(seed, purpose, count, step // count)[step % count]


def stratified(uniform_B: NDArray[np.float32]) -> NDArray[np.float64]:
    """Place one number in each of B equal parts of [0, 1), at the given fraction of its part."""
    part_B = np.arange(len(uniform_B)) + uniform_B.astype(np.float64)
    return part_B / len(uniform_B)


def _shuffled(seed: int, purpose: str, count: int, positions: Sequence[int]) -> Integers:
    """Items at `positions` of an endless sequence of shuffled rounds over `count` items."""
    return np.array([_round(seed, purpose, count, place // count)[place % count] for place in positions])


@lru_cache(maxsize=4096)
def _round(seed: int, purpose: str, count: int, number: int) -> tuple[int, ...]:
    return tuple(torch.randperm(count, generator=stream(seed, purpose, number)).tolist())


def padded_size(count: int) -> int:
    """The smallest of 1, 2, 3, 4, 6, 8, 12, 16, 24, ... that holds `count`: at most a third is padding."""
    size = 1
    while size < count:
        if size >= 2 and 3 * size // 2 >= count:
            return 3 * size // 2
        size *= 2
    return size


def padded(parts: Sequence[Integers], extra: int) -> Integers:
    """Concatenate, then repeat the first entry `extra` times."""
    return np.concatenate([*parts, np.full(extra, parts[0][0])])
