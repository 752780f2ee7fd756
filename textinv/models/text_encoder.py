"""One frozen text encoder with its tokenizer: text to ids, ids and rows to hidden states.

Owns what all encoders share. Does not know which hidden states a family's UNet wants.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from textinv.models.base import Tokens
from textinv.models.prompt import Frame, PromptPiece, Token, chunk_units, split_units
from textinv.models.written_rows import accept_rows, rows_written
from textinv.placeholders import ConceptRef


class TextEncoder:
    """A text encoder by name; `network` is its transformers module, `embedding` its token-embedding layer."""

    def __init__(self, name: str, network: Any, embedding: nn.Embedding, tokenizer: Any, window: int) -> None:
        self.name = name
        self.network = network
        self.embedding = embedding
        self.frame = _frame(tokenizer, window)
        self._tokenizer = tokenizer
        accept_rows(self.embedding)

    @property
    def width(self) -> int:
        """Width of a token's row."""
        return self.embedding.embedding_dim

    def ids(self, text: str) -> list[int]:
        """The vocabulary ids of a text, nothing around them."""
        found: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        return found

    def chunks(self, pieces: Sequence[PromptPiece], vectors_of: Mapping[ConceptRef, int]) -> list[tuple[Token, ...]]:
        """Tokenise a prompt into chunks of one window.

        Raises:
            PromptError: a placeholder is longer than the window.
            UnknownConceptError: a placeholder is not in `vectors_of`.
        """
        return chunk_units(split_units(pieces, vectors_of, self.ids, self.frame), self.frame)

    def num_tokens(self, text: str, vectors_of: Mapping[ConceptRef, int]) -> int:
        """Positions that a prompt takes, without what frames and pads it. Raises as `chunks`."""
        return sum(len(unit) for unit in split_units([(text, 1.0)], vectors_of, self.ids, self.frame))

    def encode(self, tokens: Tokens, rows_RD: Tensor | None, **options: bool) -> Any:
        """Run the encoder with rows (R, D) written; the answer is the network's own output object."""
        device = self.embedding.weight.device
        rows_RD = None if rows_RD is None else rows_RD.to(device)
        with rows_written(tokens.row_BL.to(device), rows_RD):
            return self.network(input_ids=tokens.ids_BL.to(device), **options)


def clip_encoder(name: str, network: Any, tokenizer: Any) -> TextEncoder:
    """Wrap a CLIP text encoder of transformers."""
    window = min(tokenizer.model_max_length, network.config.max_position_embeddings)
    return TextEncoder(name, network, network.get_input_embeddings(), tokenizer, window)


def _frame(tokenizer: Any, window: int) -> Frame:
    begin, end = tokenizer("").input_ids
    special = set(tokenizer.all_special_ids)
    filler = next(token for token in range(len(tokenizer)) if token not in special)
    return Frame(begin=begin, end=end, pad=tokenizer.pad_token_id, filler=filler, window=window)
