"""Many tokenised prompts as one batch: ids and row indices per text encoder, and one table of rows for all concepts.

Owns numbering the rows. Does not know models.

Shapes: B chunks of all prompts, L window, R rows, N vectors, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from textinv.models.base import Conditioning, Tokens
from textinv.models.prompt import Token, TokenizedPrompt
from textinv.placeholders import ConceptRef


@dataclass(frozen=True)
class TokenBatch:
    """Prompts ready for `BaseModel.encode_text`, on the CPU."""

    tokens: dict[str, Tokens]
    rows: dict[str, Tensor]
    """Rows (R, D) per text encoder: every concept once, however often it is named."""
    weights: dict[str, Tensor]
    """Attention weights (B, L) per text encoder."""
    chunks: tuple[range, ...]
    """Which of the B chunks are each prompt's."""

    def split(self, conditioning: Conditioning) -> list[Conditioning]:
        """Split the encoding of all chunks into one text per prompt (1, chunks * L, D)."""
        device = conditioning.hidden_BLD.device
        return [conditioning.index(torch.tensor(list(one), device=device)).joined() for one in self.chunks]


def batch_prompts(prompts: Sequence[TokenizedPrompt], rows_of: Mapping[ConceptRef, Mapping[str, Tensor]]) -> TokenBatch:
    """Join prompts; `rows_of` holds each concept's rows (N, D) per text encoder, as `Embedding.rows` does."""
    encoders = list(prompts[0].chunks)
    refs = list(dict.fromkeys(ref for prompt in prompts for ref in prompt.refs))
    tokens, rows, weights = {}, {}, {}
    for encoder in encoders:
        starts = _starts(refs, {ref: len(rows_of[ref][encoder]) for ref in refs})
        chunks = [chunk for prompt in prompts for chunk in prompt.chunks[encoder]]
        tokens[encoder] = tokens_of(chunks, starts)
        weights[encoder] = torch.tensor([[token.weight for token in chunk] for chunk in chunks])
        if refs:
            rows[encoder] = torch.cat([rows_of[ref][encoder] for ref in refs])
    ends = torch.tensor([prompt.num_chunks for prompt in prompts]).cumsum(0).tolist()
    spans = tuple(range(end - prompt.num_chunks, end) for prompt, end in zip(prompts, ends, strict=True))
    return TokenBatch(tokens, rows, weights, spans)


def tokens_of(chunks: Sequence[Sequence[Token]], starts: Mapping[ConceptRef, int]) -> Tokens:
    """Turn chunks into tensors; the rows of a concept begin at its start."""
    row = [[-1 if token.row is None else starts[token.row.ref] + token.row.vector for token in one] for one in chunks]
    return Tokens(torch.tensor([[token.id for token in chunk] for chunk in chunks]), torch.tensor(row))


def _starts(refs: Sequence[ConceptRef], counts: Mapping[ConceptRef, int]) -> dict[ConceptRef, int]:
    starts: dict[ConceptRef, int] = {}
    total = 0
    for ref in refs:
        starts[ref] = total
        total += counts[ref]
    return starts
