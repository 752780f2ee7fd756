"""Other spellings of placeholders that image clients use: `embedding:name`, `<Name>`, and A1111's bare stored names.

Owns rewriting them to `<name>`. Does not know which concepts exist: the caller says. Nor does it look at versions:
whoever reads the placeholders refuses one that cannot be.
"""

import re
from collections.abc import Callable

from textinv.placeholders import is_name, lower_placeholders

_EMBEDDING = re.compile(r"(?<![\w<])embedding:(?P<ref>[A-Za-z0-9][A-Za-z0-9._-]*(?:@[0-9]+)?)")
_WORD = re.compile(r"<[^<>]*>|(?P<word>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<version>@[0-9]+(?!\w))?")


def expand_aliases(prompt: str) -> str:
    """Rewrite `embedding:name`, `embedding:name@3` and `<Name>` to placeholders; anything else stays."""
    return lower_placeholders(_EMBEDDING.sub(_placeholder, prompt) if "embedding:" in prompt else prompt)


def expand_bare_names(prompt: str, is_stored: Callable[[str], bool]) -> str:
    """Rewrite as `expand_aliases`, and stored names without brackets (`name`, `name@3`), as A1111's clients expect."""
    return _WORD.sub(lambda match: _bare(match, is_stored), expand_aliases(prompt))


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
