"""When the crews of a fleet come and go.

Owns the policy: pure functions of what a queue shows and of the fleet's settings. Does not start anything.
"""

from collections.abc import Sequence

from cluster.crew_protocol import Crew
from cluster.views import QueueView
from textinv.jobs.fleet import FleetSettings


def new_crews(view: QueueView, crews: Sequence[Crew], settings: FleetSettings) -> list[int]:
    """The sizes of the crews to start now: a worker per spec, within the fleet's limits."""
    if settings.draining:
        return []
    wanted = min(settings.max_workers, max(settings.min_workers, view.waiting + view.leased))
    there = sum(crew.num_workers for crew in crews)
    sizes = []
    while there < wanted:
        size = min(settings.crew_size, settings.max_workers - there)
        sizes.append(size)
        there += size
    return sizes


def idle_crews(view: QueueView, crews: Sequence[Crew], settings: FleetSettings) -> list[str]:
    """The crews that may go: all when draining; else those without any work, as long as enough workers stay."""
    if settings.draining:
        return [crew.name for crew in crews]
    if view.waiting:
        return []
    busy = {worker.card.crew for worker in view.workers if worker.leases}
    spare = sum(crew.num_workers for crew in crews) - settings.min_workers
    idle = []
    for crew in reversed(crews):
        if crew.name not in busy and crew.num_workers <= spare:
            idle.append(crew.name)
            spare -= crew.num_workers
    return idle
