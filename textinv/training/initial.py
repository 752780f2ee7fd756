"""Where the rows of a concept start.

Owns turning a text's tokens into N rows, and scaling them to where the optimizer wants them. Does not know slots.

Shapes: n tokens of the text, N vectors, D width of a text encoder.
"""

import base64
import itertools
from collections.abc import Mapping

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError
from textinv.models.base import BaseModel
from textinv.spec import TrainSpec


def spread(tokens_nD: Tensor, num_vectors: int) -> Tensor:
    """Spread n token rows over N vectors (N, D): repeat them in order, or average neighbours."""
    count = len(tokens_nD)
    if count <= num_vectors:
        return tokens_nD[torch.arange(num_vectors) * count // num_vectors]
    bounds = [index * count // num_vectors for index in range(num_vectors + 1)]
    return torch.stack([tokens_nD[low:high].mean(0) for low, high in itertools.pairwise(bounds)])


def rows_of_text(model: BaseModel, text: str, num_vectors: int) -> dict[str, Tensor]:
    """Rows (N, D) per text encoder that stand for a text, float32 on the CPU.

    Raises:
        PromptError: the text has no token.
    """
    rows = {}
    for encoder in model.encoder_names:
        tokens_nD = model.token_rows(encoder, text).detach().float().cpu()
        if not len(tokens_nD):
            raise PromptError(f"the initializer {text!r} has no token in {encoder}: write a word")
        rows[encoder] = spread(tokens_nD, num_vectors)
    return rows


def rows_of_embedding(model: BaseModel, data: str, num_vectors: int) -> dict[str, Tensor]:
    """Rows (N, D) per text encoder from a base64 embedding.

    Raises:
        EmbeddingFormatError: the data is no embedding.
        BaseModelMismatchError: it was learned for other text encoders.
    """
    embedding = Embedding.from_bytes(base64.b64decode(data))
    if problem := embedding.misfit(model.encoder_widths, model.id):
        raise BaseModelMismatchError(f"the initial embedding does not fit: {problem}")
    return {encoder: spread(rows_ND, num_vectors) for encoder, rows_ND in embedding.rows.items()}


def on_sphere(rows: Mapping[str, Tensor], norms: Mapping[str, float], spec: TrainSpec) -> dict[str, Tensor]:
    """Scale rows to the vocabulary's mean norm when the optimizer is the sphere method; else leave them."""
    if spec.optimizer.kind != "sphere":
        return dict(rows)
    return {name: torch.nn.functional.normalize(rows_ND, dim=-1) * norms[name] for name, rows_ND in rows.items()}
