"""Placeholder rows, written into a text encoder's token embeddings for the length of one call.

The vocabulary, the tokenizer and the weights stay as they are: a hook on the embedding layer replaces what the layer
looked up at the marked positions. What to write travels in a context variable, so calls of several threads never see
each other's rows, and no lock is needed.

Shapes: B texts, L tokens, R rows, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor, nn


class _Written(NamedTuple):
    row_BL: Tensor
    rows_RD: Tensor


_WRITTEN: ContextVar[_Written | None] = ContextVar("written_rows", default=None)


def accept_rows(embedding: nn.Module) -> None:
    """Let a token-embedding layer take rows within `rows_written`."""
    embedding.register_forward_hook(_write)


@contextmanager
def rows_written(row_BL: Tensor, rows_RD: Tensor | None) -> Iterator[None]:
    """Write row `row_BL[b, l]` of `rows_RD` at each position where it is not negative, in this thread only."""
    written = None if rows_RD is None or not len(rows_RD) else _Written(row_BL, rows_RD)
    token = _WRITTEN.set(written)
    try:
        yield
    finally:
        _WRITTEN.reset(token)


def _write(_layer: nn.Module, _inputs: tuple[Tensor, ...], looked_up_BLD: Tensor) -> Tensor:
    written = _WRITTEN.get()
    if written is None:
        return looked_up_BLD
    rows_BLD = written.rows_RD.to(looked_up_BLD.dtype)[written.row_BL.clamp(min=0)]
    return torch.where(written.row_BL[..., None] >= 0, rows_BLD, looked_up_BLD)
