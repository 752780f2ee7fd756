"""Which guess the concepts of a manifest may start from.

Owns finding it: what was published for the base model last, else what lies in its folder. The digest goes into the
specs, so that a guess that is published later changes none of them. One that is stale is nobody's to start from. Does
not know the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from textinv.errors import CorruptObjectError
from textinv.plan.resolve import BaseFacts
from textinv.plan.sources import LocalFile, Source
from textinv.spec import Kind

if TYPE_CHECKING:
    from textinv.registry import Registry
    from textinv.registry.guesses import GuessRecord

GUESS = "guess"
"""What `init` says for rows that are predicted from the pictures."""


@dataclass(frozen=True)
class FoundGuess:
    """A guess that can be pinned."""

    digest: str
    source: Source | None
    """The file to be put into the store; None: it lies there."""
    kinds: Sequence[Kind]
    """The kinds of concepts for which it is better than ranked words."""


class Guesses:
    """The guess of one base model, looked for when somebody asks."""

    def __init__(self, base_model: str, base: BaseFacts, registry: "Registry | None") -> None:
        self._base_model, self._base, self._registry = base_model, base, registry
        self.missing = f"there is no guess for {base_model}: train one with `textinv guess train`"
        """Why there is none, where there is none."""
        self.stale = ""
        """What is wrong with the one that there is, if it may not be used any more."""

    @cached_property
    def found(self) -> FoundGuess | None:
        """The guess to pin, if there is one for this base model."""
        if self._registry is not None:
            from textinv.registry.guesses import newest_guess, stale_text

            newest = newest_guess(self._registry.store, self._base.revision)
            if newest is not None and newest.stale:
                self.stale = stale_text(newest.digest, self._base_model, newest.stale)
                self.missing = self.stale
                return None
            if newest is not None:
                return FoundGuess(newest.digest, None, newest.record.kinds)
        return self._shipped(Path(self._base.guess_file)) if self._base.guess_file else None

    def _shipped(self, file: Path) -> FoundGuess | None:
        try:
            digest, record = _read(file, file.stat().st_mtime_ns)
        except (OSError, CorruptObjectError) as error:
            self.missing = f"{file} cannot be read as a guess ({error}): get the base model's files again"
            return None
        if record.base_revision != self._base.revision:
            self.missing = (
                f"{file} is a guess for another base model ({record.base_revision[:12]}) than {self._base_model} "
                f"({self._base.revision[:12]}): train one with `textinv guess train`"
            )
            return None
        return FoundGuess(digest, LocalFile(str(file)), record.kinds)


@lru_cache(maxsize=8)
def _read(file: Path, _changed_ns: int) -> "tuple[str, GuessRecord]":
    """Digest and record of a file as it was at a time: a service asks with each request."""
    from textinv.registry.guesses import read_guess

    guess = read_guess(file.read_bytes(), str(file))
    return guess.digest, guess.record
