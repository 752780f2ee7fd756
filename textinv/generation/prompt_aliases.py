"""Other spellings of placeholders that image clients use: `embedding:name`, and A1111's bare stored names.

Owns rewriting them to `<name>`. Does not know which concepts exist: the caller says.
"""

import re
from collections.abc import Callable

from textinv.placeholders import ConceptRef, is_name, parse_ref

_EMBEDDING = re.compile(r"(?<![\w<])embedding:(?P<ref>[A-Za-z0-9][A-Za-z0-9._-]*(?:@[0-9]+)?)")
_WORD = re.compile(r"<[^<>]*>|[A-Za-z0-9][A-Za-z0-9._-]*")


def expand_aliases(prompt: str) -> str:
    """Rewrite `embedding:name` and `embedding:name@3` to placeholders; anything else stays."""
    return _EMBEDDING.sub(_placeholder, prompt) if "embedding:" in prompt else prompt


def expand_bare_names(prompt: str, is_stored: Callable[[str], bool]) -> str:
    """Rewrite words that are names of stored concepts to placeholders, as A1111's clients expect."""
    return _WORD.sub(lambda match: _bare(match.group(), is_stored), prompt)


def _placeholder(match: re.Match[str]) -> str:
    stem, tail = _without_full_stop(match["ref"].lower())
    name = stem.partition("@")[0]
    return parse_ref(stem).placeholder + tail if is_name(name) else match.group()


def _bare(word: str, is_stored: Callable[[str], bool]) -> str:
    if word.startswith("<"):
        return word
    for stem, tail in ((word, ""), _without_full_stop(word)):
        name = stem.lower()
        if is_name(name) and is_stored(name):
            return ConceptRef(name).placeholder + tail
    return word


def _without_full_stop(word: str) -> tuple[str, str]:
    stem = word.rstrip(".")
    return stem, word[len(stem) :]
