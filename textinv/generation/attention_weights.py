"""Attention weights in a prompt, in A1111's syntax: `(more)`, `[less]`, `(word:1.2)`, `\\(` for a plain bracket.

Owns the grammar. Does not know tokens; weights apply to what the text encoder says about the words.
"""

import math
import re
from typing import NamedTuple

ROUND_FACTOR = 1.1
SQUARE_FACTOR = 1 / 1.1
MIN_WEIGHT, MAX_WEIGHT = -10.0, 10.0
# Deeper brackets are plain text, so that a hostile prompt costs linear time.
MAX_DEPTH = 32

_MARK = re.compile(r"\\[()\[\]\\]|\\|\(|\[|:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*\)|\)|\]|[^\\()\[\]:]+|:")


class WeightedText(NamedTuple):
    """A stretch of a prompt and the factor of its words' attention."""

    text: str
    weight: float


def parse_attention_weights(prompt: str) -> list[WeightedText]:
    """Split a prompt into stretches of equal weight; unclosed brackets reach to the end, stray ones are plain text."""
    pieces: list[WeightedText] = []
    opened: list[tuple[str, int]] = []
    for match in _MARK.finditer(prompt):
        mark = match.group()
        if mark in "([" and len(opened) < MAX_DEPTH:
            opened.append((mark, len(pieces)))
        elif match.group(1) is not None and opened and opened[-1][0] == "(":
            _scale(pieces, opened.pop()[1], float(match.group(1)))
        elif mark in ")]" and opened and opened[-1][0] == {")": "(", "]": "["}[mark]:
            _scale(pieces, opened.pop()[1], ROUND_FACTOR if mark == ")" else SQUARE_FACTOR)
        else:
            plain = mark[1:] if len(mark) == 2 and mark[0] == "\\" else mark
            pieces.append(WeightedText(plain, 1.0))
    for mark, start in opened:
        _scale(pieces, start, ROUND_FACTOR if mark == "(" else SQUARE_FACTOR)
    return _merge(pieces)


def has_attention_weights(prompt: str) -> bool:
    """Whether the syntax changes what a prompt says: without any it means the same as plain text."""
    return parse_attention_weights(prompt) not in ([], [WeightedText(prompt, 1.0)])


def _scale(pieces: list[WeightedText], start: int, factor: float) -> None:
    for index in range(start, len(pieces)):
        text, weight = pieces[index]
        pieces[index] = WeightedText(text, min(max(weight * factor, MIN_WEIGHT), MAX_WEIGHT))


def _merge(pieces: list[WeightedText]) -> list[WeightedText]:
    merged: list[WeightedText] = []
    for piece in pieces:
        if merged and math.isclose(merged[-1].weight, piece.weight):
            merged[-1] = WeightedText(merged[-1].text + piece.text, piece.weight)
        else:
            merged.append(piece)
    return merged
