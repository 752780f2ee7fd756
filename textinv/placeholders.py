"""Placeholder tokens: the strings that stand for concepts in a prompt.

`<name>` and `<name@version>`; `<name@guess>`, rows that were guessed from pictures; `<name:0.7>`, a concept at a
strength; `<a+b>` and `<a:0.3+b:0.7>`, two concepts mixed.
Owns their grammar, splitting a text at them, and the other spellings that image clients use: `embedding:name`, `<Name>`
and A1111's bare stored names. Does not know tokenizers, embeddings or the registry: which names are stored the caller
says.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from textinv.errors import InputError

NAME_RULE = "a letter or digit, then up to 62 letters, digits, '.', '_' or '-', all lower case, at least one letter"
MAX_VERSION = 10**8 - 1
"""Versions count from 1; the keys that they are stored under have eight digits."""
GUESS = 0
"""The version before any learning, written `@guess`: rows that were predicted from pictures. It is never stored."""
_NAME = r"(?=[0-9._-]*[a-z])[a-z0-9][a-z0-9._-]{0,62}"
# People begin a sentence with <Fox>; of another case than names are, it would be plain text that nobody is told of.
_ANY_CASE = _NAME.replace("a-z", "A-Za-z")
MAX_STRENGTH = 1.5
"""0 is the concept's class word, 1 the concept; beyond, it is overdrawn."""
_VERSION = r"@(?:[0-9]+|(?i:guess))"
_PART = rf"{_ANY_CASE}(?:{_VERSION})?(?::(?:[0-9]+\.?[0-9]*|\.[0-9]+))?"
_PLACEHOLDER = re.compile(rf"<{_PART}(?:\+{_PART})*>")
_MEANT = re.compile(r"<([A-Za-z](?:[^<>\n]{0,78}[^<>\s])?)>")
_OTHER_NETWORKS = re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>")
_NAME_ONLY = re.compile(_NAME)
_EMBEDDING = re.compile(rf"(?<![\w<])embedding:(?P<ref>[A-Za-z0-9][A-Za-z0-9._-]*(?:{_VERSION})?)")
_WORD = re.compile(r"<[^<>]*>|(?P<word>[A-Za-z0-9][A-Za-z0-9._-]*)(?P<version>@[0-9]+(?!\w))?")
_MAX_SHOWN = 80


@dataclass(frozen=True, order=True)
class ConceptRef:
    """A concept by name, at one version (`GUESS`: before any learning) or (`version=None`) at its head."""

    name: str
    version: int | None = None

    def __str__(self) -> str:
        if self.version is None:
            return self.name
        return f"{self.name}@{'guess' if self.version == GUESS else self.version}"

    @property
    def placeholder(self) -> str:
        """The placeholder token: `<name>` or `<name@version>`."""
        return f"<{self}>"


@dataclass(frozen=True, order=True)
class Blend:
    """A concept at a strength, between its class word (0) and itself (1); or two concepts, by their shares."""

    parts: tuple[tuple[ConceptRef, float], ...]

    def __str__(self) -> str:
        return "+".join(f"{ref}:{strength:g}" for ref, strength in self.parts)

    @property
    def placeholder(self) -> str:
        """The placeholder token."""
        return f"<{self}>"


Mention = ConceptRef | Blend
"""What a placeholder says."""


def concepts_of(mention: Mention) -> tuple[ConceptRef, ...]:
    """The concepts that a placeholder takes."""
    return (mention,) if isinstance(mention, ConceptRef) else tuple(ref for ref, _ in mention.parts)


def is_name(text: str) -> bool:
    """Whether `text` may name a concept."""
    return _NAME_ONLY.fullmatch(text) is not None


def parse_ref(text: str) -> ConceptRef:
    """Parse `name`, `name@version`, `<name>` or `<name@version>`; in brackets, as in a prompt, of any case.

    Raises:
        InputError: `text` is none of these, or no version has so many digits.
    """
    is_bracketed = text.startswith("<")
    inner = text[1:-1] if is_bracketed else text
    if _PLACEHOLDER.fullmatch(text if is_bracketed else f"<{text}>") and not set(":+") & set(inner):
        name = inner.partition("@")[0]
        if is_bracketed or is_name(name):
            return _ref(inner)
    raise InputError(f"{_shown(text)!r} does not name a concept: a name is {NAME_RULE}; a version is written name@3")


def parse_mention(text: str) -> Mention:
    """Parse what stands in a placeholder's brackets.

    Raises:
        InputError: nothing of the kind.
    """
    if not _PLACEHOLDER.fullmatch(f"<{text}>"):
        raise InputError(f"{_shown(text)!r} does not name a concept: a name is {NAME_RULE}")
    return _mention(text)


def lower_placeholders(text: str) -> str:
    """Write the placeholders of a prompt as names are written: `<Fox@2>` as `<fox@2>`."""
    return _PLACEHOLDER.sub(lambda match: match.group().lower(), text)


def expand_aliases(prompt: str) -> str:
    """Rewrite `embedding:name`, `embedding:name@3` and `<Name>` to placeholders; anything else stays."""
    return lower_placeholders(_EMBEDDING.sub(_placeholder, prompt) if "embedding:" in prompt else prompt)


def expand_bare_names(prompt: str, is_stored: Callable[[str], bool]) -> str:
    """Rewrite as `expand_aliases`, and stored names without brackets (`name`, `name@3`), as A1111's clients expect."""
    return _WORD.sub(lambda match: _bare(match, is_stored), expand_aliases(prompt))


def bare_names(prompt: str, is_stored: Callable[[str], bool]) -> list[str]:
    """The stored names that stand in a prompt as plain words, each once, and not those that it names properly, too."""
    words = (match["word"] for match in _WORD.finditer(prompt) if match["word"] is not None)
    named = {ref.name for ref in refs_in(prompt)}
    found = dict.fromkeys(_without_full_stop(word)[0].lower() for word in words)
    return [name for name in found if name not in named and is_name(name) and is_stored(name)]


def split_prompt(text: str) -> Iterator[str | Mention]:
    """Split a prompt into plain text and placeholders (of any case), in order; other angle brackets are plain text.

    Raises:
        InputError: a placeholder asks for a version or a strength that cannot be, or mixes too many.
    """
    start = 0
    for match in _PLACEHOLDER.finditer(text):
        if match.start() > start:
            yield text[start : match.start()]
        yield _mention(match.group()[1:-1])
        start = match.end()
    if start < len(text):
        yield text[start:]


def mentions_in(text: str) -> list[Mention]:
    """The distinct placeholders of a prompt, in order of first appearance.

    Raises:
        InputError: as `split_prompt`.
    """
    return list(dict.fromkeys(piece for piece in split_prompt(text) if not isinstance(piece, str)))


def refs_in(text: str) -> list[ConceptRef]:
    """The distinct concepts of a prompt, in order of first appearance.

    Raises:
        InputError: as `split_prompt`.
    """
    return list(dict.fromkeys(ref for mention in mentions_in(text) for ref in concepts_of(mention)))


def with_versions(text: str, versions: Mapping[str, int]) -> str:
    """A prompt whose placeholders without a version have those that are given by name."""

    def settled(match: re.Match[str]) -> str:
        return f"<{'+'.join(map(settled_part, match.group()[1:-1].split('+')))}>"

    def settled_part(part: str) -> str:
        ref, colon, strength = part.partition(":")
        version = versions.get(ref.lower())
        return f"{ConceptRef(ref.lower(), version)}{colon}{strength}" if version is not None else part

    return _PLACEHOLDER.sub(settled, text)


def take_other_networks(text: str) -> tuple[str, list[str]]:
    """A prompt without A1111's `<lora:...>` and the like, and what was taken out."""
    return _OTHER_NETWORKS.sub("", text), _OTHER_NETWORKS.findall(text)


def check_brackets(text: str) -> None:
    """Check that nothing in angle brackets looks like a placeholder without being one.

    Raises:
        InputError: something does; the message says what it could be.
    """
    for match in _MEANT.finditer(text):
        if not _PLACEHOLDER.fullmatch(match.group()):
            raise InputError(f"{_shown(match.group())} {_what_it_could_be(match[1])}; plain text has a space after <")


def _what_it_could_be(inner: str) -> str:
    if _OTHER_NETWORKS.fullmatch(f"<{inner}>"):
        return "is not a concept, and only concepts can be drawn here: leave it out"
    name, colon, rest = inner.partition(":")
    lower = re.sub(r"[\s_]+", "-", name.strip().lower())
    if colon and "+" not in inner and is_name(lower.partition("@")[0]):
        return f"has no strength that is a number from 0 to {MAX_STRENGTH:g}: write it as <{lower}:0.7>"
    if not rest and is_name(lower):
        return f"is not a name: did you mean <{lower}>?"
    return "is not a concept: write <name>, <name@3>, <name:0.7> or <one+other>"


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


def _mention(text: str) -> Mention:
    parts = [_part(part) for part in text.split("+")]
    if len(parts) == 1:
        ((ref, strength),) = parts
        return ref if strength is None else Blend(((ref, _strength(text, strength)),))
    if len(parts) > 2:
        raise InputError(f"<{_shown(text)}> mixes {len(parts)} concepts: name two")
    (first, one), (second, other) = parts
    if (one is None) != (other is None):
        raise InputError(f"<{_shown(text)}> gives one of two shares: write both (<{first}:0.3+{second}:0.7>) or none")
    shares = [1.0 if share is None else _strength(text, share) for share in (one, other)]
    if not sum(shares):
        raise InputError(f"<{_shown(text)}> takes nothing of either: give one of them a share above 0")
    return Blend(((first, shares[0] / sum(shares)), (second, shares[1] / sum(shares))))


def _part(text: str) -> tuple[ConceptRef, float | None]:
    ref, colon, strength = text.partition(":")
    return _ref(ref), float(strength) if colon else None


def _strength(text: str, value: float) -> float:
    if value > MAX_STRENGTH:
        raise InputError(
            f"<{_shown(text)}> asks for a strength of {value:g}: write 0 (the class word) to {MAX_STRENGTH:g}; "
            "1 is the concept"
        )
    return value


def _ref(text: str) -> ConceptRef:
    name, at, digits = text.lower().partition("@")
    if not at:
        return ConceptRef(name)
    digits = "0" if digits == "guess" else digits.lstrip("0") or "0"
    if len(digits) > len(str(MAX_VERSION)):
        raise InputError(f"{_shown(text)} asks for a version of {len(digits)} digits; the highest is {MAX_VERSION}")
    return ConceptRef(name, int(digits))


def _shown(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
