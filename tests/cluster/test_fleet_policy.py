"""When crews come and go."""

from dataclasses import dataclass

from cluster.fleet import idle_crews, new_crews
from cluster.lease import WorkerCard
from cluster.views import QueueView, WorkerView
from textinv.jobs.fleet import FleetSettings


@dataclass
class NamedCrew:
    """A crew of a size."""

    name: str
    num_workers: int = 2
    ended: bool = False
    problem: str | None = None

    def abandon(self) -> None:
        self.ended = True


def view(waiting: int = 0, leased: int = 0, busy: tuple[str, ...] = ()) -> QueueView:
    workers = tuple(WorkerView(WorkerCard(f"{crew}/0", crew, 0), ("a",), 0.0) for crew in busy)
    return QueueView((), workers, (), 0, waiting, leased, 0, 0, ())


def test_more_work_brings_crews_up_to_the_maximum() -> None:
    settings = FleetSettings(max_workers=5, crew_size=2)
    assert new_crews(view(waiting=100), [], settings) == [2, 2, 1]
    assert new_crews(view(waiting=100), [NamedCrew("one"), NamedCrew("two")], settings) == [1]
    assert new_crews(view(waiting=2), [], settings) == [2]
    assert new_crews(view(waiting=1, leased=2), [NamedCrew("one")], settings) == [2]


def test_no_work_brings_no_crew_but_those_that_shall_stay() -> None:
    assert new_crews(view(), [], FleetSettings(max_workers=4)) == []
    assert new_crews(view(), [], FleetSettings(min_workers=1, max_workers=4)) == [1]


def test_a_draining_fleet_starts_no_crew_and_lets_all_go() -> None:
    settings, crews = FleetSettings(max_workers=4, draining=True), [NamedCrew("one"), NamedCrew("two")]
    assert new_crews(view(waiting=100), [], settings) == []
    assert idle_crews(view(waiting=100, leased=2, busy=("one",)), crews, settings) == ["one", "two"]


def test_only_crews_without_any_work_go_and_only_when_nothing_waits() -> None:
    settings, crews = FleetSettings(max_workers=4), [NamedCrew("one"), NamedCrew("two")]
    assert idle_crews(view(waiting=1), crews, settings) == []
    assert idle_crews(view(leased=1, busy=("one",)), crews, settings) == ["two"]
    assert idle_crews(view(), crews, FleetSettings(min_workers=2, max_workers=4)) == ["two"]
