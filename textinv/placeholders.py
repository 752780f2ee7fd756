"""Placeholder tokens: the strings `<name>` and `<name@version>` that stand for concepts in a prompt.

Owns their grammar and splitting a text at them. Does not know tokenizers, embeddings or the registry.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from textinv.errors import InputError

NAME_RULE = "a letter or digit, then up to 62 letters, digits, '.', '_' or '-', all lower case, at least one letter"
_NAME = r"(?=[0-9._-]*[a-z])[a-z0-9][a-z0-9._-]{0,62}"
_PLACEHOLDER = re.compile(rf"<(?P<name>{_NAME})(?:@(?P<version>[0-9]+))?>")
_NAME_ONLY = re.compile(_NAME)


@dataclass(frozen=True, order=True)
class ConceptRef:
    """A concept by name, at one version or (`version=None`) at its head."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"

    @property
    def placeholder(self) -> str:
        """The placeholder token: `<name>` or `<name@version>`."""
        return f"<{self}>"


def is_name(text: str) -> bool:
    """Whether `text` may name a concept."""
    return _NAME_ONLY.fullmatch(text) is not None


def parse_ref(text: str) -> ConceptRef:
    """Parse `name`, `name@version`, `<name>` or `<name@version>`.

    Raises:
        InputError: `text` is none of these.
    """
    bracketed = text if text.startswith("<") else f"<{text}>"
    if match := _PLACEHOLDER.fullmatch(bracketed):
        return _ref(match)
    raise InputError(f"{text!r} does not name a concept: a name is {NAME_RULE}; a version is written name@3")


def split_prompt(text: str) -> Iterator[str | ConceptRef]:
    """Split a prompt into plain text and placeholders, in order; anything else in angle brackets is plain text."""
    start = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > start:
            yield text[start : match.start()]
        yield _ref(match)
        start = match.end()
    if start < len(text):
        yield text[start:]


def refs_in(text: str) -> list[ConceptRef]:
    """The distinct placeholders of a prompt, in order of first appearance."""
    return list(dict.fromkeys(piece for piece in split_prompt(text) if isinstance(piece, ConceptRef)))


def _ref(match: re.Match[str]) -> ConceptRef:
    version = match["version"]
    return ConceptRef(match["name"], None if version is None else int(version))
