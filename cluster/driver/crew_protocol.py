"""A crew as a driver sees it, and whoever starts one.

Owns these protocols, so that drivers can be tested with crews that run in threads.
"""

from typing import Protocol

from cluster.queue.messages import BaseModelRef


class Crew(Protocol):
    """A fixed number of workers that come and go together."""

    name: str
    num_workers: int

    @property
    def ended(self) -> bool:
        """Whether no worker of it lives any more."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it ended, when it was not told to."""
        ...

    def abandon(self) -> None:
        """Stop it without waiting for anything."""
        ...


class CrewStarter(Protocol):
    """Starts crews."""

    def __call__(self, name: str, base: BaseModelRef, num_workers: int) -> Crew:
        """Start a crew on a base model."""
        ...
