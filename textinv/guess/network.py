"""The network of a guess: what an image encoder sees in a concept's pictures -> rows of every text encoder.

Every vector is a query. It begins from the mean of what the encoder says of whole pictures, and attends to the patches
of all of them; so the order of the pictures does not matter, nor how many there are. Rows lie on the sphere on which
concepts are learned. Amortised inversion goes back to E4T (Gal et al. 2023, arXiv:2302.12228) and ELITE (Wei et al.
2023, arXiv:2302.13848), which also change the base model; here it stays frozen, and only rows come out. Does not know
where pictures come from, nor how it is trained.

Shapes: B concepts, P pictures, T tokens of an encoded picture (the whole one first, then its patches), W their width,
N vectors, H hidden width, D width of a text encoder.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from textinv.spec import Kind

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Shape:
    """What a network is built from; it is kept beside the weights."""

    look_width: int
    """W."""
    row_widths: Mapping[str, int]
    """D by text encoder."""
    row_norms: Mapping[str, float]
    """The length of rows: the mean of each vocabulary's."""
    max_vectors: int = 4
    hidden: int = 256
    heads: int = 8
    blocks: int = 2

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return asdict(self)


class Block(nn.Module):
    """Queries look at the patches, then think about what they saw."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.before_looking, self.before_thinking = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.looking = nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.thinking = nn.Sequential(nn.Linear(hidden, 4 * hidden), nn.GELU(), nn.Linear(4 * hidden, hidden))

    def forward(self, queries_BNH: Tensor, seen_BKH: Tensor, hidden_BK: Tensor) -> Tensor:
        """Queries that know more; what is True in `hidden_BK` is not looked at."""
        asked = self.before_looking(queries_BNH)
        found, _ = self.looking(asked, seen_BKH, seen_BKH, key_padding_mask=hidden_BK, need_weights=False)
        queries_BNH = queries_BNH + found
        thought: Tensor = queries_BNH + self.thinking(self.before_thinking(queries_BNH))
        return thought


class GuessNetwork(nn.Module):
    """Pictures, as an image encoder sees them, to rows."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        hidden = shape.hidden
        self.see = nn.Sequential(nn.LayerNorm(shape.look_width), nn.Linear(shape.look_width, hidden))
        self.whole = nn.Sequential(
            nn.LayerNorm(shape.look_width), nn.Linear(shape.look_width, 2 * hidden), nn.GELU(),
            nn.Linear(2 * hidden, hidden),
        )  # fmt: skip
        self.vectors = nn.Embedding(shape.max_vectors, hidden)
        self.counts = nn.Embedding(shape.max_vectors, hidden)
        self.kinds = nn.Embedding(len(KINDS), hidden)
        self.blocks = nn.ModuleList(Block(hidden, shape.heads) for _ in range(shape.blocks))
        self.finish = nn.LayerNorm(hidden)
        self.rows = nn.ModuleDict({name: nn.Linear(hidden, width) for name, width in shape.row_widths.items()})

    def forward(self, looks_BPTW: Tensor, shown_BP: Tensor, kinds_B: Tensor, num_vectors: int) -> dict[str, Tensor]:
        """Rows (B, N, D) by text encoder; `shown_BP` says which pictures count, at least one of each concept.

        `num_vectors` is at most the shape's `max_vectors`; each number has rows of its own.
        """
        tokens = looks_BPTW.shape[2]
        shown = shown_BP.to(looks_BPTW.dtype)[..., None]
        whole_BW = (looks_BPTW[:, :, 0] * shown).sum(1) / shown.sum(1)
        seen_BKH = self.see(looks_BPTW.flatten(1, 2))
        hidden_BK = ~shown_BP.repeat_interleave(tokens, 1)
        place_N = torch.arange(num_vectors, device=looks_BPTW.device)
        asked_NH = self.vectors(place_N) + self.counts(torch.full_like(place_N, num_vectors - 1))
        queries_BNH = asked_NH + (self.kinds(kinds_B) + self.whole(whole_BW))[:, None]
        for block in self.blocks:
            queries_BNH = block(queries_BNH, seen_BKH, hidden_BK)
        finished = self.finish(queries_BNH)
        return {
            name: normalize(head(finished), dim=-1) * self.shape.row_norms[name] for name, head in self.rows.items()
        }
