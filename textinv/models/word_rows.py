"""A text's rows as those of a concept: as many as it has vectors.

Owns how words are spread over vectors; training starts there, and a concept at a strength below 1 slides there.

Shapes: n tokens of the text, N vectors, D width of a text encoder.
"""

import itertools

import torch
from torch import Tensor

from textinv.models.base import BaseModel


def spread(tokens_nD: Tensor, num_vectors: int) -> Tensor:
    """Spread n token rows over N vectors (N, D): repeat them in order, or average neighbours."""
    count = len(tokens_nD)
    if count <= num_vectors:
        return tokens_nD[torch.arange(num_vectors) * count // num_vectors]
    bounds = [index * count // num_vectors for index in range(num_vectors + 1)]
    return torch.stack([tokens_nD[low:high].mean(0) for low, high in itertools.pairwise(bounds)])


def word_rows(model: BaseModel, encoder: str, text: str, num_vectors: int) -> Tensor | None:
    """Rows (N, D) that stand for a text, float32 on the CPU; None where the text has no token."""
    tokens_nD = model.token_rows(encoder, text).detach().float().cpu()
    return spread(tokens_nD, num_vectors) if len(tokens_nD) else None
