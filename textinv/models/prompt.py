"""Tokenised prompts: chunks of one window, placeholders still by name.

Owns splitting at placeholders and chunking. Around a placeholder plain text is tokenised as separate words, exactly as
when the placeholder were a token of the vocabulary (diffusers' `load_textual_inversion`). Does not know models, nor how
prompts are joined to a batch (`token_batch`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from textinv.errors import PromptError, UnknownConceptError
from textinv.placeholders import ConceptRef, split_prompt

PromptPiece: TypeAlias = tuple[str, float]
"""Part of a prompt and the weight of its words' attention, 1 for plain text."""


class RowRef(NamedTuple):
    """One vector of a concept."""

    ref: ConceptRef
    vector: int


class Token(NamedTuple):
    """One position of a text: a vocabulary id, the vector written there if any, its attention weight."""

    id: int
    row: RowRef | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around and into a text: begin, end, padding, and the filler under a written row."""

    begin: int
    end: int
    pad: int
    filler: int
    window: int

    @property
    def room(self) -> int:
        """Tokens of text in one window."""
        return self.window - 2

    def close(self, tokens: Sequence[Token]) -> tuple[Token, ...]:
        """Wrap the tokens of one chunk and pad them to the window."""
        padding = [Token(self.pad)] * (self.room - len(tokens))
        return (Token(self.begin), *tokens, Token(self.end), *padding)


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt in chunks of exactly one window, per text encoder; every encoder has the same number of them."""

    chunks: Mapping[str, tuple[tuple[Token, ...], ...]]

    @property
    def num_chunks(self) -> int:
        """Windows that the prompt takes, at least 1."""
        return len(next(iter(self.chunks.values())))

    @property
    def refs(self) -> list[ConceptRef]:
        """The distinct concepts in it, in order of first appearance."""
        tokens = (token for chunk in next(iter(self.chunks.values())) for token in chunk)
        return list(dict.fromkeys(token.row.ref for token in tokens if token.row is not None))


def split_units(
    pieces: Sequence[PromptPiece],
    vectors_of: Mapping[ConceptRef, int],
    tokenize: Callable[[str], list[int]],
    frame: Frame,
) -> Iterator[list[Token]]:
    """Split a prompt into units that stay together: one vocabulary token, or all vectors of a placeholder.

    Raises:
        PromptError: a placeholder is longer than the window.
        UnknownConceptError: a placeholder is not in `vectors_of`.
    """
    for text, weight in pieces:
        for part in split_prompt(text):
            if isinstance(part, str):
                yield from ([Token(token, None, weight)] for token in tokenize(part))
            else:
                count = _checked_vectors(part, vectors_of, frame)
                yield [Token(frame.filler, RowRef(part, vector), weight) for vector in range(count)]


def chunk_units(units: Iterator[list[Token]], frame: Frame) -> list[tuple[Token, ...]]:
    """Fill windows with units in order; one that does not fit moves whole into the next window."""
    chunks: list[tuple[Token, ...]] = []
    current: list[Token] = []
    for unit in units:
        if len(current) + len(unit) > frame.room:
            chunks.append(frame.close(current))
            current = []
        current.extend(unit)
    return [*chunks, frame.close(current)]


def _checked_vectors(ref: ConceptRef, vectors_of: Mapping[ConceptRef, int], frame: Frame) -> int:
    count = vectors_of.get(ref)
    if count is None:
        raise UnknownConceptError(
            f"the prompt names {ref.placeholder}, but no such concept is mounted; learn it first or correct its name",
            name=ref.name,
        )
    if count > frame.room:
        raise PromptError(
            f"{ref.placeholder} has {count} vectors, but a window of {frame.window} tokens holds {frame.room}; "
            "learn it with fewer vectors",
            num_vectors=count,
            max_vectors=frame.room,
        )
    return count
