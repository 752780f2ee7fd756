"""Placeholder tokens: the strings `<name>` and `<name@version>` that stand for concepts in a prompt.

Owns their grammar, splitting a text at them, and the other spellings that image clients use: `embedding:name`, `<Name>`
and A1111's bare stored names. Does not know tokenizers, embeddings or the registry: which names are stored the caller
says.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from textinv.errors import InputError

NAME_RULE = "a letter or digit, then up to 62 letters, digits, '.', '_' or '-', all lower case, at least one letter"
MAX_VERSION = 10**8 - 1
"""Versions count from 1; the keys that they are stored under have eight digits."""
_NAME = r"(?=[0-9._-]*[a-z])[a-z0-9][a-z0-9._-]{0,62}"
# People begin a sentence with <Fox>; of another case than names are, it would be plain text that nobody is told of.
_ANY_CASE = _NAME.replace("a-z", "A-Za-z")
_PLACEHOLDER = re.compile(rf"<(?P<name>{_ANY_CASE})(?:@(?P<version>[0-9]+))?>")
_NAME_ONLY = re.compile(_NAME)
_EMBEDDING = re.compile(r"(?<![\w<])embedding:(?P<ref>[A-Za-z0-9][A-Za-z0-9._-]*(?:@[0-9]+)?)")
_WORD = re.compile(r"<[^<>]*>|(?P<word>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<version>@[0-9]+(?!\w))?")
_MAX_SHOWN = 80


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
    """Parse `name`, `name@version`, `<name>` or `<name@version>`; in brackets, as in a prompt, of any case.

    Raises:
        InputError: `text` is none of these, or no version has so many digits.
    """
    is_bracketed = text.startswith("<")
    match = _PLACEHOLDER.fullmatch(text if is_bracketed else f"<{text}>")
    if match and (is_bracketed or is_name(match["name"])):
        return _ref(match)
    raise InputError(f"{_shown(text)!r} does not name a concept: a name is {NAME_RULE}; a version is written name@3")


def lower_placeholders(text: str) -> str:
    """Write the placeholders of a prompt as names are written: `<Fox@2>` as `<fox@2>`."""
    return _PLACEHOLDER.sub(lambda match: match.group().lower(), text)


def expand_aliases(prompt: str) -> str:
    """Rewrite `embedding:name`, `embedding:name@3` and `<Name>` to placeholders; anything else stays."""
    return lower_placeholders(_EMBEDDING.sub(_placeholder, prompt) if "embedding:" in prompt else prompt)


def expand_bare_names(prompt: str, is_stored: Callable[[str], bool]) -> str:
    """Rewrite as `expand_aliases`, and stored names without brackets (`name`, `name@3`), as A1111's clients expect."""
    return _WORD.sub(lambda match: _bare(match, is_stored), expand_aliases(prompt))


def split_prompt(text: str) -> Iterator[str | ConceptRef]:
    """Split a prompt into plain text and placeholders (of any case), in order; other angle brackets are plain text.

    Raises:
        InputError: no version has as many digits as a placeholder asks for.
    """
    start = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > start:
            yield text[start : match.start()]
        yield _ref(match)
        start = match.end()
    if start < len(text):
        yield text[start:]


def refs_in(text: str) -> list[ConceptRef]:
    """The distinct placeholders of a prompt, in order of first appearance.

    Raises:
        InputError: no version has as many digits as a placeholder asks for.
    """
    return list(dict.fromkeys(piece for piece in split_prompt(text) if isinstance(piece, ConceptRef)))


def _placeholder(match: re.Match[str]) -> str:
    stem, tail = _without_full_stop(match["ref"].lower())
    name = stem.partition("@")[0]
    return f"<{stem}>{tail}" if is_name(name) else match.group()


def _bare(match: re.Match[str], is_stored: Callable[[str], bool]) -> str:
    word, version = match["word"], match["version"] or ""
    if word is None:
        return match.group()
    for stem, tail in ((word, ""), _without_full_stop(word)):
        name = stem.lower()
        if is_name(name) and is_stored(name):
            return f"<{name}>{tail}{version}" if tail else f"<{name}{version}>"
    return match.group()


def _without_full_stop(word: str) -> tuple[str, str]:
    stem = word.rstrip(".")
    return stem, word[len(stem) :]


def _ref(match: re.Match[str]) -> ConceptRef:
    name, digits = match["name"].lower(), match["version"]
    if digits is None:
        return ConceptRef(name)
    digits = digits.lstrip("0") or "0"
    if len(digits) > len(str(MAX_VERSION)):
        raise InputError(
            f"{_shown(match.group())} asks for a version of {len(digits)} digits; the last is {MAX_VERSION}"
        )
    return ConceptRef(name, int(digits))


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
