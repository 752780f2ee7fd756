"""Where the rows of a concept start.

Owns turning a text's tokens into N rows, and scaling them to where the optimizer wants them. Does not know slots.

Shapes: n tokens of the text, N vectors, D width of a text encoder.
"""

import base64
from collections.abc import Mapping

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError
from textinv.models.base import BaseModel
from textinv.models.word_rows import spread, word_rows
from textinv.spec import TrainSpec


def rows_of_text(model: BaseModel, text: str, num_vectors: int) -> dict[str, Tensor]:
    """Rows (N, D) per text encoder that stand for a text, float32 on the CPU.

    Raises:
        PromptError: the text has no token.
    """
    rows = {}
    for encoder in model.encoder_names:
        rows_ND = word_rows(model, encoder, text, num_vectors)
        if rows_ND is None:
            raise PromptError(f"the initializer {text!r} has no token in {encoder}: write a word")
        rows[encoder] = rows_ND
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
    """Scale rows that learn to the vocabulary's mean norm when the optimizer is the sphere method; else leave them."""
    scaled = () if spec.optimizer.kind != "sphere" else spec.encoders or tuple(rows)
    return {
        name: torch.nn.functional.normalize(rows_ND, dim=-1) * norms[name] if name in scaled else rows_ND
        for name, rows_ND in rows.items()
    }
