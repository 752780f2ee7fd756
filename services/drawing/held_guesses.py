"""Guessed concepts that callers hold for an hour, under names of their own: `<name@guess>`.

Owns who sees which (whoever asked for it, nobody else), the bounds and the hour. They lie in the memory of a front or,
where there are several, of what these share, and nowhere else: nothing is published, and a restart loses them. A
drawing request takes the rows along, a few KB, so that any replica draws it. Does not know how rows are predicted.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from textinv.placeholders import GUESS, ConceptRef
from textinv.spec import Kind

if TYPE_CHECKING:  # torch: only where rows are drawn
    from textinv.embedding import Embedding

HELD_S = 3600.0
_MAX_OF_CALLER = 64
_MAX_BYTES = 64 * 2**20
_OVERHEAD_BYTES = 1024


@dataclass(frozen=True)
class HeldGuess:
    """A concept of which only the first rows were guessed: it is drawn as a stored one is."""

    name: str
    kind: Kind
    class_word: str | None
    rows: bytes
    """An embedding's bytes."""
    guess: str
    """Digest of the guess that predicted them."""
    base_model: str
    base_revision: str
    family: str
    expires_s: float
    """By the wall clock."""
    version: int = GUESS

    @property
    def ref(self) -> ConceptRef:
        """How prompts name it."""
        return ConceptRef(self.name, GUESS)

    @cached_property
    def embedding(self) -> "Embedding":
        """Its rows."""
        from textinv.embedding import Embedding

        return Embedding.from_bytes(self.rows)

    @property
    def digest(self) -> str:
        """SHA-256 of its rows, hex."""
        return self.embedding.digest

    @property
    def record(self) -> Mapping[str, Any]:
        """What drawing at a strength needs to know."""
        return {"class_word": self.class_word}


class Holder(Protocol):
    """Holds guesses; methods are coroutines because they may be asked from another process."""

    async def hold(self, caller: str, guess: HeldGuess) -> None:
        """Keep a guess for a caller until it expires; another of the same name goes."""
        ...

    async def held(self, caller: str, names: Sequence[str]) -> Mapping[str, HeldGuess]:
        """Those of a caller's guesses that have these names."""
        ...


class HeldGuesses:
    """The guesses of all callers, in memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._held: OrderedDict[tuple[str, str], HeldGuess] = OrderedDict()
        self._num_bytes = 0

    async def hold(self, caller: str, guess: HeldGuess) -> None:
        """Keep a guess; the oldest go where there are too many, of the caller or of all."""
        self._drop_expired()
        self._drop((caller, guess.name))
        mine = [key for key in self._held if key[0] == caller]
        for key in mine[: max(0, len(mine) + 1 - _MAX_OF_CALLER)]:
            self._drop(key)
        self._held[caller, guess.name] = guess
        self._num_bytes += _size_bytes(guess)
        while self._num_bytes > _MAX_BYTES:
            self._drop(next(iter(self._held)))

    async def held(self, caller: str, names: Sequence[str]) -> Mapping[str, HeldGuess]:
        """Find a caller's guesses."""
        self._drop_expired()
        return {name: self._held[caller, name] for name in names if (caller, name) in self._held}

    def _drop_expired(self) -> None:
        """All are held equally long, so that the oldest expire first."""
        while self._held and next(iter(self._held.values())).expires_s <= self._clock():
            self._drop(next(iter(self._held)))

    def _drop(self, key: tuple[str, str]) -> None:
        gone = self._held.pop(key, None)
        if gone is not None:
            self._num_bytes -= _size_bytes(gone)


def _size_bytes(guess: HeldGuess) -> int:
    return _OVERHEAD_BYTES + len(guess.rows)
