"""A pool of groups of the wider world, encoded to latents once and drawn from many times; new groups replace old ones.

Owns composing, encoding, keeping and drawing. Does not know the UNet, the word writer or any optimizer. What group
number n holds is a function of (seed, n), and the pool remembers how many it has composed, so a run that goes on
composes others than the one before it.

Legend: G groups, P pictures of a group, B samples, C latent channels, H W latent size, L tokens.
"""

import random
from dataclasses import dataclass, field

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from textinv.demo.making.drawing import Pixels, from_uint8, stack
from textinv.demo.making.wide_world import GROUP, WideWorld
from textinv.demo.making.word_writer import MAX_ROWS, word_ids


@dataclass(frozen=True)
class Batch:
    """Samples to train on; those with a word have negative ids in their captions."""

    latents_BCHW: Tensor
    ids_BL: Tensor
    others_BPCHW: Tensor
    """The whole group of each sample ..."""
    shown_BP: Tensor
    """... and which of it may explain the word: never the sample itself."""


@dataclass
class GroupPool:
    """At most `capacity` groups."""

    world: WideWorld
    vae: AutoencoderKL
    tokenizer: CLIPTokenizer
    seed: int
    capacity: int
    shard: int = 16
    """Groups that are composed and encoded at once."""
    composed: int = 0
    """Groups composed so far, over all runs."""
    latents_GPCHW: Tensor = field(default_factory=lambda: torch.zeros(0), init=False)
    plain_GPL: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int16), init=False)
    words_GPL: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int16), init=False)

    def __len__(self) -> int:
        return len(self.plain_GPL)

    def grow(self) -> None:
        """Compose one shard more; where the pool is full, in place of the oldest."""
        first = max(0, len(self) + self.shard - self.capacity)
        old = (self.latents_GPCHW[first:], self.plain_GPL[first:], self.words_GPL[first:])
        new = self.compose(range(self.composed, self.composed + self.shard))
        pairs = zip(old, new, strict=True)
        self.latents_GPCHW, self.plain_GPL, self.words_GPL = (
            torch.cat([before, after]) if len(before) else after for before, after in pairs
        )
        self.composed += self.shard

    def compose(self, numbers: range) -> tuple[Tensor, Tensor, Tensor]:
        """Latents (fp16), plain captions and captions with words (int16) of groups by number."""
        pictures, plain, worded, num_rows = [], [], [], []
        for number in numbers:
            rng = random.Random(f"{self.seed}/{number}")
            for shown in self.world.group(rng)[1]:
                pictures.append(shown.image)
                plain.append(shown.caption)
                worded.append(shown.word_caption)
                num_rows.append(rng.choice((1, 2, 3, *[MAX_ROWS] * 3)))
        latents = self.encode(stack(pictures)).half()
        plain_ids = self.tokenizer(plain, padding="max_length", truncation=True, return_tensors="pt").input_ids
        ids = plain_ids.clone()
        having = [place for place, caption in enumerate(worded) if caption is not None]
        if having:
            captions = [caption for caption in worded if caption is not None]
            ids[having] = word_ids(self.tokenizer, captions, [num_rows[place] for place in having])
        of_groups = (len(numbers), GROUP)
        plain_ids, ids = (each.short().view(*of_groups, -1) for each in (plain_ids, ids))
        return latents.view(*of_groups, *latents.shape[1:]), plain_ids, ids

    @torch.no_grad()
    def encode(self, pixels_NHWC: Pixels) -> Tensor:
        """Encode uint8 pictures to scaled latents."""
        latents = self.vae.encode(from_uint8(pixels_NHWC)).latent_dist.mean
        return torch.as_tensor(latents * self.vae.config.scaling_factor)

    def draw(self, num: int, word_share: float, generator: torch.Generator) -> Batch:
        """Draw samples uniformly with replacement; of those that have a word, `word_share` are asked for by it."""
        group_B = torch.randint(len(self), (num,), generator=generator)
        place_B = torch.randint(GROUP, (num,), generator=generator)
        worded_B = torch.rand(num, generator=generator) < word_share
        ids_BL = torch.where(worded_B[:, None], self.words_GPL[group_B, place_B], self.plain_GPL[group_B, place_B])
        others = self.latents_GPCHW[group_B].float()
        return Batch(others[torch.arange(num), place_B], ids_BL.long(), others, self._shown(place_B, generator))

    def _shown(self, place_B: Tensor, generator: torch.Generator) -> Tensor:
        """One to three of each sample's group, without the sample."""
        chance_BP = torch.rand(len(place_B), GROUP, generator=generator)
        chance_BP[torch.arange(len(place_B)), place_B] = 2
        rank_BP = chance_BP.argsort(1).argsort(1)
        return rank_BP < torch.randint(1, GROUP, (len(place_B), 1), generator=generator)
