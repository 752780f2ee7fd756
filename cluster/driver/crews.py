"""Crews as a driver sees them, and when they come and go.

Owns the protocol of a crew, so that drivers can be tested with crews that run in threads, and the policy: functions of
what a queue shows and of the fleet's settings. Does not start anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from cluster.queue.messages import BaseModelRef
from cluster.queue.views import QueueView
from textinv.jobs.fleet import FleetSettings


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


@dataclass(frozen=True, slots=True)
class Others:
    """What the other base models of a fleet have, as the limits are the fleet's."""

    workers: int = 0
    """Of all their crews."""
    staying: int = 0
    """Of their crews that were not told to go."""
    starving: int = 0
    """Base models with work waiting and no crew that stays."""


NOBODY = Others()


def num_workers(crews: Iterable[Crew]) -> int:
    """How many workers these crews have."""
    return sum(crew.num_workers for crew in crews)


def new_crews(view: QueueView, crews: Sequence[Crew], settings: FleetSettings, others: Others = NOBODY) -> list[int]:
    """The sizes of the crews to start now: a worker per spec, within the fleet's limits.

    Beyond the first crew, room for one is left to each base model that has none.
    """
    if settings.draining:
        return []
    wanted = max(settings.min_workers - others.staying, view.waiting + view.leased)
    there = num_workers(crews)
    sizes = []
    while there < wanted:
        left = others.starving * settings.crew_size if there else 0
        size = min(settings.crew_size, settings.max_workers - others.workers - there - left)
        if size <= 0:
            break
        sizes.append(size)
        there += size
    return sizes


def idle_crews(view: QueueView, crews: Sequence[Crew], settings: FleetSettings, others: Others = NOBODY) -> list[str]:
    """The crews that may go: all when draining; else those without any work, as long as enough workers stay.

    They go all the same when another base model waits for its first.
    """
    if settings.draining:
        return [crew.name for crew in crews]
    if view.waiting:
        return []
    busy = {worker.card.crew for worker in view.workers if worker.leases}
    least = 0 if others.starving else settings.min_workers - others.staying
    spare = num_workers(crews) - least
    idle = []
    for crew in reversed(crews):
        if crew.name not in busy and crew.num_workers <= spare:
            idle.append(crew.name)
            spare -= crew.num_workers
    return idle
