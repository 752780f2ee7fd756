"""When the crews of a fleet come and go.

Owns the policy: pure functions of what a queue shows and of the fleet's settings. Does not start anything.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cluster.driver.crew_protocol import Crew
from cluster.queue.views import QueueView
from textinv.jobs.fleet import FleetSettings


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
