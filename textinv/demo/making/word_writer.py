"""A network that writes a learned word from latents of pictures: the other half of teaching a base to read such words.

Owns the network and how its rows are placed among a caption's tokens. Trained together with the UNet, it stands for
Textual Inversion, which would take minutes for each word: what it writes has the length of a vocabulary row, as
inversion on the sphere keeps it, and a random direction is mixed in, so that what lies beside a word is a word too.
Nothing of it ships.

Legend: B samples, P pictures per sample, C latent channels, H W latent size, R rows per word, D row width, L tokens.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTokenizer

MAX_ROWS = 4
_FILTERS = (64, 128, 256)
_JITTER = 0.2
"""Length of the random part of a row in training, as a share of the row."""


class WordWriter(nn.Module):
    """Three halving convolutions, the mean over pictures, and one hidden layer."""

    def __init__(self, channels: int, width: int, norm: float) -> None:
        super().__init__()
        self.norm, self.width = norm, width
        layers: list[nn.Module] = []
        for before, after in zip((channels, *_FILTERS), _FILTERS, strict=False):
            layers += [nn.Conv2d(before, after, 3, 2, padding=1), nn.GroupNorm(8, after), nn.SiLU()]
        self.look = nn.Sequential(*layers)
        pooled = 5 * _FILTERS[-1]  # where things are matters little, but not nothing: four quarters and their maximum
        self.write = nn.Sequential(nn.Linear(pooled, 512), nn.SiLU(), nn.Linear(512, MAX_ROWS * width))

    def forward(self, latents_BPCHW: Tensor, shown_BP: Tensor) -> Tensor:
        """Write rows `(B, R, D)`; `shown_BP` says which pictures count, at least one of each sample."""
        seen_NCHW = self.look(latents_BPCHW.flatten(0, 1))
        seen_ND = torch.cat([F.adaptive_avg_pool2d(seen_NCHW, 2).flatten(1), seen_NCHW.amax((2, 3))], 1)
        shown = shown_BP.float()
        seen_BD = (seen_ND.view(*shown.shape, -1) * shown[..., None]).sum(1) / shown.sum(1, keepdim=True)
        rows_BRD = F.normalize(self.write(seen_BD).view(-1, MAX_ROWS, self.width), dim=-1)
        if self.training:
            rows_BRD = F.normalize(rows_BRD + _JITTER * torch.randn_like(rows_BRD) / self.width**0.5, dim=-1)
        return self.norm * rows_BRD


def word_ids(tokenizer: CLIPTokenizer, captions: Sequence[str], num_rows: Sequence[int]) -> Tensor:
    """Token ids `(B, L)` of captions with `{}`; row r of a caption's word is the id `-1 - r`."""
    window, rows = tokenizer.model_max_length, []
    for caption, num in zip(captions, num_rows, strict=True):
        before, after = caption.split("{}")
        ids = [tokenizer(text, add_special_tokens=False).input_ids for text in (before, after)]
        inside = [*ids[0], *range(-1, -1 - num, -1), *ids[1]][: window - 2]
        end = [tokenizer.eos_token_id] + [tokenizer.pad_token_id] * (window - 2 - len(inside))
        rows.append([tokenizer.bos_token_id, *inside, *end])
    return torch.tensor(rows)


def vocabulary_norm(embedding: Tensor) -> float:
    """Mean length of a vocabulary row `(V, D)`."""
    return float(embedding.norm(dim=-1).mean())
