"""A fleet: all workers of one place, how many there may be, and when crews come and go.

Owns the policy: pure functions of what a queue shows. Does not start anything.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from cluster.crew_protocol import Crew
from cluster.views import QueueView


class FleetSettings(BaseModel):
    """How many workers a fleet may have; kept in the store, changed by `textinv fleet scale` and `drain`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_workers: int = Field(default=0, ge=0)
    """Kept even when there is nothing to do, once a base model is known."""
    max_workers: int = Field(default=1, ge=1)
    crew_size: int = Field(default=1, ge=1)
    """Workers of a crew: those of one node, usually."""
    draining: bool = False
    """Whether all workers shall hand back what they have and go."""


def settings_key(fleet: str) -> str:
    """Key of a fleet's settings."""
    return f"fleets/{fleet}/settings.json"


def status_key(fleet: str) -> str:
    """Key of a fleet's status."""
    return f"fleets/{fleet}/status.json"


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
