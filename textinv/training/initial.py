"""Where the rows of a concept start.

Owns turning a text's tokens into N rows, and scaling them to where the optimizer wants them. Does not know slots.

Shapes: n tokens of the text, N vectors, D width of a text encoder.
"""

import base64
from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import normalize

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError
from textinv.models.base import BaseModel
from textinv.models.word_rows import spread, word_rows
from textinv.spec import TrainSpec
from textinv.training.slot import Slot


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


def rows_of_embedding(model: BaseModel, spec: TrainSpec) -> dict[str, Tensor]:
    """Rows (N, D) per text encoder from the embedding that a spec holds.

    Raises:
        EmbeddingFormatError: it is no embedding.
        BaseModelMismatchError: it was learned for other text encoders, or for what they say.
    """
    embedding = Embedding.from_bytes(base64.b64decode(spec.init_embedding or ""))
    problem = embedding.misfit(model.encoder_widths, model.id, model.whole) or embedding.unlearned(spec.rows)
    if problem:
        raise BaseModelMismatchError(f"the initial embedding does not fit: {problem}")
    return {name: spread(rows_ND, spec.num_vectors) for name, rows_ND in embedding.rows.items()}


def on_sphere(rows: Mapping[str, Tensor], norms: Mapping[str, float], slot: Slot) -> dict[str, Tensor]:
    """Scale rows that learn when the optimizer is the sphere method, else leave them.

    `norms` are the vocabularies' mean norms; rows that are written into what an encoder says get the mean of their own.
    """
    scaled = slot.learns if slot.spec.optimizer.kind == "sphere" else ()
    return {
        name: normalize(rows_ND, dim=-1) * norms.get(name, rows_ND.norm(dim=-1).mean()) if name in scaled else rows_ND
        for name, rows_ND in rows.items()
    }
