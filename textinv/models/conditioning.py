"""What a network is told about texts: tensors by name, and how those of several texts become one batch.

Owns the value. Which tensors there are, and how texts of several lengths are put side by side, is the family's: here
stands what most of them need, hidden states that are padded and masked. Does not know networks.

Shapes: B texts, L tokens, D width of the hidden states, K picked texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

HIDDEN = "hidden"
"""What text encoders say of each token (B, L, D)."""
POOLED = "pooled"
"""What they say of a whole text (B, D)."""
MASK = "mask"
"""True where there is text (B, L); left out where all of it is."""
SIZES = "sizes"
"""What a base model that takes sizes is told of a picture (B, 6): original height and width, crop top and left, target
height and width, in pixels; left out, it counts as an uncropped one of its own size."""
GUIDANCE = "guidance"
"""The guidance scale (B,) of a network that takes it; left out, the one that rows are learned with."""


class Span(NamedTuple):
    """Where in a conditioning a text encoder speaks: which tensor (B, L, D), and which part of each text's."""

    tensor: str = HIDDEN
    across: slice = slice(None)
    along: slice = slice(None)


@dataclass(frozen=True)
class Conditioning:
    """What the network is told about B texts, and of the pictures that go with them."""

    tensors: Mapping[str, Tensor]
    """By name; the texts lie along the first axis of each."""

    def __getitem__(self, name: str) -> Tensor:
        """One of the tensors.

        Raises:
            ValueError: there is none of that name.
        """
        if (found := self.tensors.get(name)) is None:
            raise ValueError(f"the conditioning has no {name}; encode it with this model's encode_text")
        return found

    def get(self, name: str) -> Tensor | None:
        """One of the tensors, if there is one."""
        return self.tensors.get(name)

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def num_tokens(self) -> int:
        """Positions that the network attends to for each text, at most."""
        return max(tensor.shape[1] for tensor in self.tensors.values() if tensor.dim() == 3)

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes in memory."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors.values())

    def told(self, **others: Tensor) -> "Conditioning":
        """The same, and this, too."""
        return Conditioning({**self.tensors, **others})

    def index(self, index_K: Tensor) -> "Conditioning":
        """Pick texts; an index may occur several times."""
        return Conditioning({name: tensor[index_K] for name, tensor in self.tensors.items()})


def side_by_side(parts: Sequence[Conditioning]) -> Conditioning:
    """Texts as one batch: shorter hidden states are padded and masked, all else has one shape."""
    length = max(part.num_tokens for part in parts)
    if any(MASK in part.tensors or part.num_tokens < length for part in parts):
        parts = [_padded(part, length) for part in parts]
    return Conditioning({name: torch.cat([part[name] for part in parts]) for name in parts[0].tensors})


def in_a_row(chunks: Conditioning) -> Conditioning:
    """The chunks of one prompt as one text (1, B * L, D); whatever has no tokens is the first chunk's."""
    joined = {name: tensor[:1] for name, tensor in chunks.tensors.items()}
    for name in {HIDDEN, MASK} & joined.keys():
        joined[name] = chunks[name].reshape(1, -1, *chunks[name].shape[2:])
    return Conditioning(joined)


def nothing_said(texts: Conditioning) -> Conditioning:
    """The same shapes with nothing said."""
    return Conditioning(
        {name: each if name == MASK else torch.zeros_like(each) for name, each in texts.tensors.items()}
    )


def _padded(part: Conditioning, length: int) -> Conditioning:
    hidden_BLD = part[HIDDEN]
    mask_BL = part.get(MASK)
    if mask_BL is None:
        mask_BL = torch.ones(hidden_BLD.shape[:2], dtype=torch.bool, device=hidden_BLD.device)
    return part.told(**{HIDDEN: _pad(hidden_BLD, length), MASK: _pad(mask_BL, length)})


def _pad(tensor_BL: Tensor, length: int) -> Tensor:
    batch, own, *rest = tensor_BL.shape
    return tensor_BL if own == length else torch.cat([tensor_BL, tensor_BL.new_zeros(batch, length - own, *rest)], 1)
