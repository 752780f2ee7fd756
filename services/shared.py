"""What several fronts share, in one process of its own: the usage of keys, and the guesses that callers hold.

Owns nothing but that these two live together, and how a front asks for guesses there. Knows neither HTTP nor Ray.
"""

from collections.abc import Mapping, Sequence

from services.access.front_usage import AskUsage
from services.access.usage import Usage
from services.drawing.held_guesses import HeldGuess, HeldGuesses


class Shared(Usage):
    """One for all fronts of a service."""

    def __init__(self) -> None:
        super().__init__()
        self._guesses = HeldGuesses()

    async def hold(self, caller: str, guess: HeldGuess) -> None:
        """Keep a guess for a caller."""
        await self._guesses.hold(caller, guess)

    async def held(self, caller: str, names: Sequence[str]) -> Mapping[str, HeldGuess]:
        """Find a caller's guesses."""
        return await self._guesses.held(caller, names)


class SharedGuesses:
    """The guesses of all fronts, seen from one.

    Raises:
        NotReadyError: what holds them does not answer; unlike with usage, a front alone is no substitute.
    """

    def __init__(self, ask: AskUsage) -> None:
        self._ask = ask

    async def hold(self, caller: str, guess: HeldGuess) -> None:
        """Keep a guess for a caller."""
        await self._ask("hold", caller, guess)

    async def held(self, caller: str, names: Sequence[str]) -> Mapping[str, HeldGuess]:
        """Find a caller's guesses."""
        found: Mapping[str, HeldGuess] = await self._ask("held", caller, names)
        return found
