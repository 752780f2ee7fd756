"""A fleet's driver that died is started again by whoever watches it, without anybody submitting."""

from pathlib import Path

from cluster.driver.supervisor import SETTLED_S, Supervision
from cluster.worker.meters import NoBoard
from tests.jobs.test_starting_a_driver import Cluster, Job, on_cluster
from textinv.jobs.cluster_driver import ensure_on_cluster

FLEET = "cluster-a"


class Gauges(NoBoard):
    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def set(self, name: str, value: float, **tags: str) -> None:
        self.values[f"{name} {tags['fleet']}"] = value


class Watched:
    """A cluster with a driver, and who watches it, by a clock that stands still."""

    def __init__(self, tmp_path: Path) -> None:
        self.cluster, self.now, self.board = Cluster(), 0.0, Gauges()
        assert ensure_on_cluster(self.cluster, on_cluster(tmp_path), FLEET, '{"workers": 3}')
        self.supervision = Supervision(FLEET, self.cluster, self.board, lambda: self.now)
        assert self.supervision.look()

    @property
    def driver(self) -> Job:
        return self.cluster.jobs[-1]

    def dies(self) -> None:
        self.driver.status.ended = True

    def starts_after(self) -> float:
        """Seconds until another driver is there."""
        before, begun = len(self.cluster.jobs), self.now
        while len(self.cluster.jobs) == before:
            self.supervision.look()
            self.now += 1.0
            assert self.now - begun < 3600.0
        return self.now - begun - 1.0


def test_a_driver_that_died_is_started_again_as_it_was(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    first = watched.driver
    watched.dies()
    assert watched.starts_after() == 0.0
    again = watched.driver
    assert again.submission_id == f"{FLEET}-2"
    assert (again.entrypoint, again.metadata, again.runtime_env) == (
        first.entrypoint,
        first.metadata,
        first.runtime_env,
    )
    assert watched.supervision.look()


def test_a_driver_whose_job_was_deleted_when_it_died_is_started_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.cluster.jobs.clear()
    assert watched.starts_after() == 0.0
    assert (watched.driver.submission_id, watched.driver.metadata) == (f"{FLEET}-2", {"textinv-fleet": FLEET})


def test_a_driver_that_somebody_stopped_stays_stopped(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.dies()
    watched.driver.status.name = "STOPPED"
    assert not watched.supervision.look()
    assert len(watched.cluster.jobs) == 1


def test_a_driver_that_dies_at_once_is_started_less_and_less_often_and_the_alerts_gauge_says_that_there_is_none(
    tmp_path: Path,
) -> None:
    watched, pauses = Watched(tmp_path), []
    for _ in range(9):
        watched.dies()
        pauses.append(watched.starts_after())
    assert pauses[0] == 0.0
    assert pauses[1:] == sorted(pauses[1:])
    assert 200.0 < pauses[-1] <= 300.0
    watched.dies()
    watched.supervision.look()
    assert watched.board.values == {f"textinv_driver_lives {FLEET}": 0.0}
    watched.now += SETTLED_S + 1.0
    assert watched.starts_after() == 0.0


def test_a_cluster_that_does_not_take_the_driver_now_is_asked_again(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.dies()
    watched.cluster.refuse("no agent yet: try again")
    assert watched.starts_after() > 0.0
