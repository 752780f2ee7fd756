"""One fleet with two base models: the limits are the fleet's, and each gets its turn."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from cluster.driver.base_model import LINGER_S
from cluster.driver.crews import Others, idle_crews, new_crews
from cluster.driver.driver import Driver
from cluster.queue.messages import BaseModelRef, WorkerCard
from cluster.queue.queue import WorkQueue
from cluster.queue.views import QueueView
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.fleet import FleetSettings
from textinv.jobs.layout import job_key
from textinv.registry import Registry

MakeJob = Callable[..., JobRecord]
FLEET = "fleet-of-tests"


@dataclass
class NamedCrew:
    """A crew on a base model, which ends when the test says so."""

    name: str
    base: str
    num_workers: int
    ended: bool = False
    problem: str | None = None

    def abandon(self) -> None:
        self.ended = True


class Place:
    """A driver of at most four workers in crews of two, with its queues and the crews that it started."""

    def __init__(self, registry: Registry, make_job: MakeJob, max_workers: int = 4, crew_size: int = 2) -> None:
        self.now, self.requests = 0.0, 0
        self.store, self.make_job = registry.store, make_job
        self.queues: dict[str, WorkQueue] = {}
        self.crews: list[NamedCrew] = []
        settings = FleetSettings(max_workers=max_workers, crew_size=crew_size)
        self.driver = Driver(registry, FLEET, self._open, self._start, settings=settings, clock=lambda: self.now)

    def _open(self, base: BaseModelRef) -> WorkQueue:
        return self.queues.setdefault(base.base_revision, WorkQueue(lambda: self.now))

    def _start(self, name: str, base: BaseModelRef, num_workers: int) -> NamedCrew:
        self.crews.append(NamedCrew(name, base.base_revision, num_workers))
        return self.crews[-1]

    def submit(self, base: str, name: str = "job", num_concepts: int = 6) -> None:
        record = self.make_job(self.store, num_concepts, name=f"{name}-{base}")
        self.store.put(job_key(record.id), record.model_copy(update={"base_revision": base}).body())

    def round(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.driver.round()

    def workers(self, base: str) -> int:
        return sum(crew.num_workers for crew in self.crews if crew.base == base and not crew.ended)

    def learn_all(self, base: str) -> None:
        """Let somebody of one of the base's crews finish all that waits."""
        queue = self.queues[base]
        crew = next(crew for crew in self.crews if crew.base == base and not crew.ended)
        card = WorkerCard(f"{crew.name}/0", crew.name, 0)
        while True:
            self.requests += 1
            lease = queue.take(card, self.requests).lease
            if lease is None:
                return
            queue.finish(card.id, lease.fingerprint, 1)


@pytest.fixture
def place(registry: Registry, make_job: MakeJob) -> Place:
    return Place(registry, make_job)


def test_two_base_models_share_the_maximum_and_each_gets_a_crew(place: Place) -> None:
    place.submit("one")
    place.submit("two")
    for _ in range(3):
        place.round()
    assert (place.workers("one"), place.workers("two")) == (2, 2)


def test_who_comes_late_has_the_first_crew_that_becomes_free_and_grows_when_the_other_has_nothing_to_do(
    place: Place,
) -> None:
    place.submit("one")
    place.round()
    assert place.workers("one") == 4
    place.submit("two")
    for _ in range(3):
        place.round()
    assert (place.workers("one"), place.workers("two")) == (4, 0)
    assert not any(crew.ended for crew in place.crews)
    place.crews[0].ended = True
    for _ in range(3):
        place.round()
    assert (place.workers("one"), place.workers("two")) == (2, 2)
    place.learn_all("one")
    place.round()
    place.round(LINGER_S)
    for crew in place.crews:
        crew.ended |= crew.base == "one"
    place.round()
    assert (place.workers("one"), place.workers("two")) == (0, 4)


def test_the_only_worker_goes_to_whoever_had_none_for_longest(registry: Registry, make_job: MakeJob) -> None:
    place = Place(registry, make_job, max_workers=1, crew_size=1)
    place.submit("one")
    place.round()
    place.submit("two")
    place.submit("one", "again")
    for turn in ("two", "one", "two"):
        place.round()
        place.crews[-1].ended = True
        place.round()
        assert [crew.base for crew in place.crews if not crew.ended] == [turn]


def test_workers_that_shall_always_be_there_are_the_fleets_and_go_when_another_base_model_starves() -> None:
    settings = FleetSettings(min_workers=2, max_workers=4)
    nothing = QueueView((), (), (), 0, 0, 0, 0, 0, ())
    assert new_crews(nothing, [], settings, Others(workers=2, staying=2)) == []
    crew = NamedCrew("a", "one", 2)
    assert idle_crews(nothing, [crew], settings) == []
    assert idle_crews(nothing, [crew], settings, Others(workers=2, staying=2)) == ["a"]
    assert idle_crews(nothing, [crew], settings, Others(starving=1)) == ["a"]


def test_every_job_of_both_base_models_comes_to_its_end(place: Place) -> None:
    place.submit("one")
    place.submit("two")
    for _ in range(2):
        place.round()
    for base in ("one", "two"):
        place.learn_all(base)
    place.round()
    assert JobStore(place.store).open_jobs() == {}
