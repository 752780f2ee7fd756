"""Who died with a spec is known to the queue, or the driver, that comes after."""

from collections.abc import Callable
from typing import Any

import pytest

from cluster.driver.driver import Driver
from cluster.queue.messages import WorkerCard
from cluster.queue.queue import WorkQueue
from tests.cluster.test_fleet_policy import NamedCrew
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.fleet import FleetSettings
from textinv.jobs.layout import DEATHS
from textinv.registry import Registry

MakeJob = Callable[..., JobRecord]
FLEET = "fleet-of-tests"


class Place:
    """A driver and its queue, either of which can begin anew."""

    def __init__(self, registry: Registry) -> None:
        self.now, self.requests = 0.0, 0
        self.registry, self.job_store = registry, JobStore(registry.store)
        self.queue, self.driver = self._new_queue(), self._new_driver()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)  # a queue that is restarted keeps its name

    def _new_queue(self) -> WorkQueue:
        return WorkQueue(lambda: self.now)

    def _new_driver(self) -> Driver:
        settings = FleetSettings(max_workers=1)
        crew = NamedCrew("crew", 1)
        return Driver(
            self.registry, FLEET, lambda base: self, lambda *_: crew, settings=settings, clock=lambda: self.now
        )

    def begin_anew(self, who: str) -> None:
        self.queue = self._new_queue()
        if who == "driver":
            self.driver = self._new_driver()
        self.round()

    def round(self) -> None:
        self.now += 1.0
        self.driver.round()

    def take(self, number: int) -> str | None:
        card = WorkerCard(f"worker-{number}", "crew", 0, node=f"node-{number}")
        self.requests += 1
        lease = self.queue.take(card, self.requests).lease
        return lease.fingerprint if lease else None

    def die(self, number: int) -> None:
        self.queue.leave(f"worker-{number}", "SIGSEGV")
        self.round()

    def remembered(self) -> list[str]:
        return [info.key for info in self.registry.store.list(DEATHS)]


@pytest.fixture
def place(registry: Registry, make_job: MakeJob) -> Place:
    place = Place(registry)
    place.record = make_job(registry.store, 2)
    place.round()
    return place


@pytest.mark.parametrize("who", ["queue", "driver"])
def test_a_spec_is_set_aside_after_three_deaths_though_somebody_began_anew_after_each(place: Place, who: str) -> None:
    guilty = place.take(0)
    assert guilty is not None
    place.die(0)
    place.begin_anew(who)
    assert place.take(1) == guilty
    place.die(1)
    place.begin_anew(who)
    assert {place.take(2), place.take(2)} == {guilty, None}  # its last chance is without company
    place.die(2)
    failure = place.job_store.failure(place.record.id, guilty)
    assert failure is not None
    assert failure.code == "poisoned"
    assert [death["node"] for death in failure.evidence] == ["node-0", "node-1", "node-2"]
    assert place.remembered() != []
    place.job_store.resume(place.record.id)
    assert place.remembered() == []


def test_what_a_spec_was_suspected_of_is_forgotten_when_it_is_done(place: Place) -> None:
    suspect = place.take(0)
    assert suspect is not None
    place.die(0)
    assert place.remembered() == [f"{DEATHS}{place.record.id}/{suspect}.json"]
    assert place.take(1) == suspect
    place.queue.finish("worker-1", suspect, 1)
    place.round()
    assert place.remembered() == []
