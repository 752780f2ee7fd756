"""Open jobs of a cluster's fleet that is gone."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from cluster.driver.driver import Driver
from cluster.driver.left_behind import LeftBehind
from cluster.queue.queue import WorkQueue
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.fleet import FleetSettings, status_key
from textinv.registry import Registry

MakeJob = Callable[..., JobRecord]
OLD, NEW = "cluster-old-store", "cluster-new-store"
LONG, SHORT = timedelta(hours=1), timedelta(0)


@pytest.fixture
def job(registry: Registry, make_job: MakeJob) -> JobRecord:
    """A job of a cluster that was restarted since, with a concept that was cancelled."""
    record, job_store = make_job(registry.store), JobStore(registry.store)
    assert job_store.hand_over(record.id, record.fleet, OLD)
    return job_store.cancel(record.id, ["concept-0"]).record


def say(registry: Registry, *fleets: str) -> None:
    """Say how fleets are, one after the other."""
    for fleet in fleets:
        registry.store.put(status_key(fleet), b"{}")


@pytest.mark.parametrize(("fleet", "silent_for", "is_taken"), [(NEW, SHORT, True), (NEW, LONG, False)])
def test_a_job_is_taken_over_when_its_own_fleet_was_silent_for_long(
    registry: Registry, job: JobRecord, fleet: str, silent_for: timedelta, is_taken: bool
) -> None:
    say(registry, OLD, fleet)
    job_store = JobStore(registry.store)
    found = LeftBehind(job_store, fleet, silent_for=silent_for).take_over([job.id])
    assert found == ([job.id] if is_taken else [])
    assert job_store.load(job.id).fleet == (fleet if is_taken else OLD)
    assert job_store.cancellation(job.id) is not None


def test_a_home_folders_fleet_takes_nothing_over_and_nobody_takes_over_what_it_has(
    registry: Registry, job: JobRecord, make_job: MakeJob
) -> None:
    job_store, home = JobStore(registry.store), "local-1234"
    say(registry, OLD, home)
    assert LeftBehind(job_store, home, silent_for=SHORT).take_over([job.id]) == []
    job_store.hand_over(job.id, OLD, home)
    say(registry, home, NEW)
    assert LeftBehind(job_store, NEW, silent_for=SHORT).take_over([job.id]) == []


def test_a_driver_serves_what_a_fleet_before_it_left_behind(
    registry: Registry, job: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeftBehind.__init__, "__defaults__", (lambda: 0.0, SHORT))
    monkeypatch.setattr("cluster.driver.left_behind.EVERY_S", 0.0)
    say(registry, OLD)
    ticks = iter(range(0, 100, 2))
    driver = Driver(
        registry,
        NEW,
        lambda base: WorkQueue(),
        lambda name, base, size: None,  # type: ignore[arg-type]
        settings=FleetSettings(draining=True),
        clock=lambda: float(next(ticks)),
    )
    for _ in range(3):
        driver.round()
    assert driver.status()["jobs"] == [job.id]
    assert "taken over" in JobStore(registry.store).log(job.id)
