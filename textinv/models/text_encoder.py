"""One frozen text encoder with its tokenizer: text to ids, ids and rows to hidden states.

Owns what all encoders share, and writing placeholder rows into the token embeddings for the length of one call. The
vocabulary, the tokenizer and the weights stay as they are: a hook on the embedding layer replaces what the layer looked
up at the marked positions. What to write travels in a context variable, so calls of several threads never see each
other's rows, and no lock is needed. Does not know which hidden states a family's UNet wants.

Shapes: B texts, L tokens, R rows, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from textinv.models.prompt import Frame, PromptPiece, Token, Tokens, chunk_units, split_units
from textinv.placeholders import Mention


class _Written(NamedTuple):
    row_BL: Tensor
    rows_RD: Tensor


_WRITTEN: ContextVar[_Written | None] = ContextVar("written_rows", default=None)


class TextEncoder:
    """A text encoder by name; `network` is its transformers module, `embedding` its token-embedding layer.

    `num_layers` are those whose hidden states can be read in place of the last ones; 1: there is nothing to choose. A
    language model's numbers do not fit into float16 (`half`), its words hold the space before them (`leads`), and one
    that is told little of the text may cut it at its window (`cuts`). `around` is what stands before and after a text
    (None: what the tokenizer puts there); `lowers`: whether it reads small letters only, but for an `instruction` that
    may go before a text.
    """

    def __init__(
        self,
        name: str,
        network: Any,
        embedding: nn.Embedding,
        tokenizer: Any,
        window: int,
        num_layers: int = 1,
        *,
        half: bool = True,
        leads: bool = False,
        cuts: bool = False,
        lowers: bool = False,
        around: tuple[Sequence[int], Sequence[int]] | None = None,
        instruction: str = "",
    ) -> None:
        self.name = name
        self.network = network
        self.embedding = embedding
        self.num_layers = num_layers
        self.half, self.cuts = half, cuts
        self.frame = _frame(tokenizer, window, leads, around, instruction)
        self._tokenizer, self._lowers = tokenizer, lowers
        embedding.register_forward_hook(_write)

    @property
    def width(self) -> int:
        """Width of a token's row."""
        return self.embedding.embedding_dim

    def ids(self, text: str) -> list[int]:
        """The vocabulary ids of a text, nothing around them."""
        said = text.lower() if self._lowers else text
        found: list[int] = self._tokenizer(said, add_special_tokens=False, verbose=False).input_ids
        return found

    def word_ids(self, text: str) -> list[int]:
        """The ids of a text as it is within a sentence."""
        return self.ids(f" {text}" if self.frame.leads and text else text)

    def mask(self, tokens: Tokens) -> Tensor:
        """True where there is text (B, L), on the encoder's device."""
        return (tokens.ids_BL != self.frame.pad).to(self.embedding.weight.device)

    def chunks(self, pieces: Sequence[PromptPiece], vectors_of: Mapping[Mention, int]) -> list[tuple[Token, ...]]:
        """Tokenise a prompt into chunks of one window.

        Raises:
            PromptError: a placeholder is longer than the window.
            UnknownConceptError: a placeholder is not in `vectors_of`.
        """
        return chunk_units(split_units(pieces, vectors_of, self.ids, self.frame), self.frame)

    def num_tokens(self, text: str, vectors_of: Mapping[Mention, int]) -> int:
        """Positions that a prompt takes, without what frames and pads it. Raises as `chunks`."""
        return sum(len(unit) for unit in split_units([(text, 1.0)], vectors_of, self.ids, self.frame))

    def encode(self, tokens: Tokens, rows_RD: Tensor | None, **options: Any) -> Any:
        """Run the encoder with rows (R, D) written; the answer is the network's own output object."""
        device = self.embedding.weight.device
        rows_RD = None if rows_RD is None else rows_RD.to(device)
        with _rows_written(tokens.row_BL.to(device), rows_RD):
            return self.network(input_ids=tokens.ids_BL.to(device), **options)

    def behind_instruction(self, tokens: Tokens) -> Tokens:
        """Tokens with the instruction between what begins a text and the text itself."""
        before, batch = len(self.frame.begin), len(tokens.ids_BL)
        told_BI = torch.tensor([self.frame.instruction]).expand(batch, -1)
        ids_BL = torch.cat([tokens.ids_BL[:, :before], told_BI, tokens.ids_BL[:, before:]], 1)
        row_BL = torch.cat([tokens.row_BL[:, :before], torch.full_like(told_BI, -1), tokens.row_BL[:, before:]], 1)
        return Tokens(ids_BL, row_BL)

    def without_instruction(self, hidden_BLD: Tensor) -> Tensor:
        """What is said behind the instruction, and of what begins a text."""
        before = len(self.frame.begin)
        return torch.cat([hidden_BLD[:, :before], hidden_BLD[:, before + len(self.frame.instruction) :]], 1)

    def final_norm(self, hidden_BLD: Tensor) -> Tensor:
        """Normalise an earlier layer's hidden states as CLIP does the last one's."""
        normed_BLD: Tensor = getattr(self.network, "text_model", self.network).final_layer_norm(hidden_BLD)
        return normed_BLD


def clip_encoder(name: str, network: Any, tokenizer: Any, *, cuts: bool = False) -> TextEncoder:
    """Wrap a CLIP text encoder of transformers."""
    config = network.config
    window = min(tokenizer.model_max_length, config.max_position_embeddings)
    embedding = network.get_input_embeddings()
    return TextEncoder(name, network, embedding, tokenizer, window, config.num_hidden_layers, cuts=cuts)


def language_encoder(name: str, network: Any, tokenizer: Any, window: int, **said: Any) -> TextEncoder:
    """Wrap a language model of transformers; rows are written where it looks tokens up."""
    looks_up = getattr(network, "encoder", network)  # T5 has a second table, which is the same one when it is loaded
    embedding = looks_up.embed_tokens
    return TextEncoder(name, network, embedding, tokenizer, window, half=False, leads=True, **said)


def _frame(
    tokenizer: Any, window: int, leads: bool, around: tuple[Sequence[int], Sequence[int]] | None, instruction: str
) -> Frame:
    begin, end = around or _around(tokenizer)
    special = set(tokenizer.all_special_ids)
    filler = next(token for token in range(len(tokenizer)) if token not in special)
    before = tokenizer(instruction, add_special_tokens=False).input_ids if instruction else ()
    return Frame(tuple(begin), tuple(end), tokenizer.pad_token_id, filler, window, leads, tuple(before))


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What a tokenizer puts before and after a text."""
    bare, framed = (tokenizer("a", add_special_tokens=said).input_ids for said in (False, True))
    at = next(at for at in range(len(framed)) if framed[at : at + len(bare)] == bare)
    return framed[:at], framed[at + len(bare) :]


@contextmanager
def _rows_written(row_BL: Tensor, rows_RD: Tensor | None) -> Iterator[None]:
    """Write row `row_BL[b, l]` of `rows_RD` at each position where it is not negative, in this thread only."""
    written = None if rows_RD is None or not len(rows_RD) else _Written(row_BL, rows_RD)
    token = _WRITTEN.set(written)
    try:
        yield
    finally:
        _WRITTEN.reset(token)


def _write(layer: nn.Module, _inputs: tuple[Tensor, ...], looked_up_BLD: Tensor) -> Tensor:
    written = _WRITTEN.get()
    if written is None:
        return looked_up_BLD
    rows_BLD = written.rows_RD.to(looked_up_BLD.dtype)[written.row_BL.clamp(min=0)]
    scale = getattr(layer, "embed_scale", None)
    if scale is not None:  # of what it looks up, within the layer: rows are what lies in the table
        rows_BLD = rows_BLD * torch.as_tensor(scale).to(rows_BLD)
    return torch.where(written.row_BL[..., None] >= 0, rows_BLD, looked_up_BLD)
