"""A1111's prompts that change while a picture is drawn: `[from:to:when]`, `[to:when]`, `[from::when]` and `[a|b]`.

Owns their syntax, after A1111's `modules/prompt_parser.py`: `when` below 1 or with a point is a share of the steps,
else a step; up to it the first text holds, then the second. Alternatives take turns, a step each. What is in brackets
and neither of these keeps them: they are attention weights. Placeholders and escaped brackets are passed over.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from textinv.errors import PromptError

MAX_TEXTS = 24
"""Different texts of one prompt: each is encoded."""
# Deeper brackets are plain text, so that a hostile prompt costs linear time.
_MAX_DEPTH = 16
_TOKEN = re.compile(r"\\.|<[^<>\n]*>|[\[\]():|]|[^\\<\[\]():|]+|.", re.S)
_WHEN = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*")


@dataclass(frozen=True)
class Scheduled:
    """One text up to a step, then another."""

    before: "Pieces"
    after: "Pieces"
    when: str

    def at(self, step: int, num_steps: int) -> "Pieces":
        """What holds in a step, counted from 1."""
        share = float(self.when)
        last = share * num_steps if "." in self.when or share < 1 else share
        return self.before if step <= int(min(num_steps, last)) else self.after


@dataclass(frozen=True)
class Alternatives:
    """Texts that take turns."""

    texts: tuple["Pieces", ...]

    def at(self, step: int, num_steps: int) -> "Pieces":
        """What holds in a step, counted from 1."""
        return self.texts[(step - 1) % len(self.texts)]


Pieces: TypeAlias = "tuple[str | Scheduled | Alternatives, ...]"


class PromptTexts(NamedTuple):
    """The different texts of a prompt, and which of them holds in each step."""

    texts: tuple[str, ...]
    at: tuple[int, ...]


def texts_over_steps(prompt: str, num_steps: int) -> PromptTexts:
    """What a prompt says in each of its steps.

    Raises:
        PromptError: it says too many different things.
    """
    pieces = _parse(_TOKEN.findall(prompt)) if "[" in prompt else (prompt,)
    if all(isinstance(piece, str) for piece in pieces):
        return PromptTexts((prompt,), (0,) * num_steps)
    places: dict[str, int] = {}
    at = tuple(places.setdefault(_text(pieces, step, num_steps), len(places)) for step in range(1, num_steps + 1))
    if len(places) > MAX_TEXTS:
        raise PromptError(
            f"the prompt becomes {len(places)} different texts while it is drawn; {MAX_TEXTS} are the most"
        )
    return PromptTexts(tuple(places), at)


def _text(pieces: Pieces, step: int, num_steps: int) -> str:
    said = (piece if isinstance(piece, str) else _text(piece.at(step, num_steps), step, num_steps) for piece in pieces)
    return "".join(said)


def _parse(tokens: Sequence[str], depth: int = 0) -> Pieces:
    if depth > _MAX_DEPTH:
        return ("".join(tokens),)
    pieces: list[str | Scheduled | Alternatives] = []
    closing = _closing(tokens)
    place = 0
    while place < len(tokens):
        end = closing.get(place) if tokens[place] == "[" else None
        if end is None:
            pieces.append(tokens[place])
            place += 1
            continue
        pieces += _bracket(tokens[place + 1 : end], depth + 1)
        place = end + 1
    return tuple(pieces)


def _bracket(inside: Sequence[str], depth: int) -> Iterator[str | Scheduled | Alternatives]:
    """What stands between two square brackets."""
    parts = list(_split(inside, ":"))
    when = _WHEN.fullmatch("".join(parts[-1])) if len(parts) in (2, 3) else None
    if when:
        before = _parse(parts[0], depth) if len(parts) == 3 else ()
        yield Scheduled(before, _parse(parts[-2], depth), when[1])
        return
    turns = list(_split(inside, "|"))
    if len(turns) > 1:
        yield Alternatives(tuple(_parse(one, depth) for one in turns))
        return
    yield "["
    yield from _parse(inside, depth)
    yield "]"


def _split(tokens: Sequence[str], mark: str) -> Iterator[Sequence[str]]:
    """Split at a mark that no bracket encloses."""
    start, closing, place = 0, _closing(tokens), 0
    while place < len(tokens):
        if tokens[place] == mark:
            yield tokens[start:place]
            start = place + 1
        place = closing.get(place, place) + 1
    yield tokens[start:]


def _closing(tokens: Sequence[str]) -> dict[int, int]:
    """Where each bracket that is closed is closed."""
    opened: list[int] = []
    found = {}
    for place, token in enumerate(tokens):
        if token in ("[", "("):
            opened.append(place)
        elif token in ("]", ")") and opened and tokens[opened[-1]] == {"]": "[", ")": "("}[token]:
            found[opened.pop()] = place
    return found
