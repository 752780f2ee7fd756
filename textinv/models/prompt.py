"""A prompt on its way to the network: pieces, tokens in chunks of one window, a batch of many, and what is made of it.

Owns these values, splitting at placeholders, chunking, joining many prompts into one batch with one table of rows, and
how most families put side by side what a network is told. Does not know models. Around a placeholder plain text is
tokenised as separate words, exactly as when the placeholder were a token of the vocabulary (diffusers'
`load_textual_inversion`).

Shapes: B chunks or texts, L window, R rows, N vectors, D width, K picked texts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from textinv.errors import PromptError, UnknownConceptError
from textinv.placeholders import Mention, split_prompt
from textinv.spec import OUTPUT

PromptPiece: TypeAlias = tuple[str, float]
"""Part of a prompt and the weight of its words' attention, 1 for plain text."""
NEW_WINDOW: PromptPiece = ("", float("-inf"))
"""What follows begins in a window of its own, as behind A1111's BREAK."""
INSTRUCTED: PromptPiece = ("", float("inf"))
"""As the first one: what follows is read behind the base model's instruction."""


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


class RowRef(NamedTuple):
    """One vector of a concept."""

    ref: Mention
    vector: int


class Token(NamedTuple):
    """One position of a text: a vocabulary id, the vector written there if any, its attention weight."""

    id: int
    row: RowRef | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around and into a text: begin, end, padding, and the filler under a written row.

    Some put nothing before a text or nothing behind it, others a whole chat.
    """

    begin: tuple[int, ...]
    end: tuple[int, ...]
    pad: int
    filler: int
    window: int
    leads: bool = False
    """Whether a word's token holds the space before it: then one before a placeholder belongs to the rows."""
    instruction: tuple[int, ...] = ()
    """Read before an instructed text, without the space between them; it takes no room of the window."""

    @property
    def room(self) -> int:
        """Tokens of text in one window."""
        return self.window - len(self.begin) - len(self.end)

    def close(self, tokens: Sequence[Token]) -> tuple[Token, ...]:
        """Wrap the tokens of one chunk and pad them to the window."""
        padding = [Token(self.pad)] * (self.room - len(tokens))
        return (*map(Token, self.begin), *tokens, *map(Token, self.end), *padding)


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt in chunks of exactly one window, per text encoder; every encoder has the same number of them."""

    chunks: Mapping[str, tuple[tuple[Token, ...], ...]]
    instructed: bool = False
    """Whether it is read behind the base model's instruction."""

    @property
    def num_chunks(self) -> int:
        """Windows that the prompt takes, at least 1."""
        return len(next(iter(self.chunks.values())))

    @property
    def refs(self) -> list[Mention]:
        """The distinct concepts in it, in order of first appearance."""
        # Not every encoder need reach as far.
        tokens = (token for chunks in self.chunks.values() for chunk in chunks for token in chunk)
        return list(dict.fromkeys(token.row.ref for token in tokens if token.row is not None))


@dataclass(frozen=True)
class Tokens:
    """One text encoder's tokens of B texts."""

    ids_BL: Tensor
    """Vocabulary ids, also where a row is written: there stands a filler id that is no special token."""
    row_BL: Tensor
    """-1 where the vocabulary's own row stays, else the index into that encoder's rows (R, D)."""
    instructed: bool = False
    """Whether they are read behind the base model's instruction."""

    def index(self, index_K: Tensor) -> "Tokens":
        """Pick texts; an index may occur several times."""
        return Tokens(self.ids_BL[index_K], self.row_BL[index_K], self.instructed)


@dataclass(frozen=True)
class TokenBatch:
    """Prompts ready for `BaseModel.encode_text`, on the CPU."""

    tokens: dict[str, Tokens]
    rows: dict[str, Tensor]
    """Rows (R, D) per text encoder: every concept once, however often it is named. Those behind an encoder, and where
    they stand in its tokens, go by its name and `OUTPUT`."""
    weights: dict[str, Tensor]
    """Attention weights (B, L) per text encoder."""
    chunks: tuple[range, ...]
    """Which of the B chunks are each prompt's."""


def split_units(
    pieces: Sequence[PromptPiece],
    vectors_of: Mapping[Mention, int],
    tokenize: Callable[[str], list[int]],
    frame: Frame,
) -> Iterator[list[Token]]:
    """Split a prompt into units that stay together: one vocabulary token, or all vectors of a placeholder.

    An empty one is the end of a window.

    Raises:
        PromptError: a placeholder is longer than the window.
        UnknownConceptError: a placeholder is not in `vectors_of`.
    """
    space = ""
    for text, weight in pieces:
        if (text, weight) == NEW_WINDOW:
            yield []
        if (text, weight) == INSTRUCTED:
            space = " "
        for part in split_prompt(text):
            if isinstance(part, str):
                said = space + part
                if frame.leads:
                    said = said.rstrip()
                    space = " " if len(said) < len(space + part) else ""
                yield from ([Token(token, None, weight)] for token in tokenize(said))
            else:
                space = ""
                count = _checked_vectors(part, vectors_of, frame)
                yield [Token(frame.filler, RowRef(part, vector), weight) for vector in range(count)]


def chunk_units(units: Iterator[list[Token]], frame: Frame) -> list[tuple[Token, ...]]:
    """Fill windows with units in order; one that does not fit moves whole into the next window."""
    chunks: list[tuple[Token, ...]] = []
    current: list[Token] = []
    for unit in units:
        if not unit or len(current) + len(unit) > frame.room:
            chunks.append(frame.close(current))
            current = []
        current.extend(unit)
    return [*chunks, frame.close(current)]


def _checked_vectors(ref: Mention, vectors_of: Mapping[Mention, int], frame: Frame) -> int:
    count = vectors_of.get(ref)
    if count is None:
        raise UnknownConceptError(
            f"the prompt names {ref.placeholder}, but no such concept is mounted; learn it first or correct its name",
            concept=str(ref),
        )
    if count > frame.room:
        raise PromptError(
            f"{ref.placeholder} has {count} vectors, but a window of {frame.window} tokens holds {frame.room}; "
            "learn it with fewer vectors",
            num_vectors=count,
            max_vectors=frame.room,
        )
    return count


def batch_prompts(prompts: Sequence[TokenizedPrompt], rows_of: Mapping[Mention, Mapping[str, Tensor]]) -> TokenBatch:
    """Join prompts, all instructed or none; `rows_of` holds each concept's rows (N, D) per text encoder, as
    `Embedding.rows` does."""
    refs = list(dict.fromkeys(ref for prompt in prompts for ref in prompt.refs))
    tokens, rows, weights = {}, {}, {}
    for encoder in prompts[0].chunks:
        chunks = [chunk for prompt in prompts for chunk in prompt.chunks[encoder]]
        weights[encoder] = torch.tensor([[token.weight for token in chunk] for chunk in chunks])
        for name in (encoder, encoder + OUTPUT):
            written = [ref for ref in refs if name in rows_of[ref]]
            if written or name == encoder:
                starts = _starts(written, {ref: len(rows_of[ref][name]) for ref in written})
                tokens[name] = tokens_of(chunks, starts, prompts[0].instructed)
            if written:
                rows[name] = torch.cat([rows_of[ref][name] for ref in written])
    ends = torch.tensor([prompt.num_chunks for prompt in prompts]).cumsum(0).tolist()
    spans = tuple(range(end - prompt.num_chunks, end) for prompt, end in zip(prompts, ends, strict=True))
    return TokenBatch(tokens, rows, weights, spans)


def tokens_of(chunks: Sequence[Sequence[Token]], starts: Mapping[Mention, int], instructed: bool = False) -> Tokens:
    """Turn chunks into tensors; the rows of a concept begin at its start, and one without a start has none here."""
    row = [[_index_of(token.row, starts) for token in chunk] for chunk in chunks]
    return Tokens(torch.tensor([[token.id for token in chunk] for chunk in chunks]), torch.tensor(row), instructed)


def _index_of(row: RowRef | None, starts: Mapping[Mention, int]) -> int:
    return -1 if row is None or row.ref not in starts else starts[row.ref] + row.vector


def _starts(refs: Sequence[Mention], counts: Mapping[Mention, int]) -> dict[Mention, int]:
    starts: dict[Mention, int] = {}
    total = 0
    for ref in refs:
        starts[ref] = total
        total += counts[ref]
    return starts


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


def with_outputs(
    said: Conditioning,
    spans: Mapping[str, Span],
    tokens: Mapping[str, Tokens | Conditioning],
    rows: Mapping[str, Tensor],
) -> Conditioning:
    """The same with the rows (R, D) behind text encoders written where these speak of their concepts; differentiable
    in the rows. `tokens` and `rows` are those of encoding."""
    changed: dict[str, Tensor] = {}
    for encoder, (tensor, across, along) in spans.items():
        name = encoder + OUTPUT
        if name in rows and isinstance(places := tokens.get(name), Tokens):
            hidden_BLD = changed.get(tensor, said[tensor])
            row_BL, part_BLD = places.row_BL.to(hidden_BLD.device), hidden_BLD[:, across, along]
            rows_BLD = rows[name].to(part_BLD)[row_BL.clamp(min=0)]
            changed[tensor] = hidden_BLD.clone()
            changed[tensor][:, across, along] = torch.where(row_BL[..., None] >= 0, rows_BLD, part_BLD)
    return said.told(**changed)


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
