"""How long a job will still take, as its status tells it."""

from collections.abc import Callable

import pytest

from cluster.driver.open_jobs import OpenJob
from cluster.driver.reports import Reports
from cluster.queue.messages import BaseModelRef
from cluster.queue.views import JobView, QueueView
from textinv.jobs import JobRecord, JobStatus, JobStore
from textinv.store import MemoryStore


@pytest.fixture
def look(make_job: Callable[..., JobRecord]) -> Callable[[float, float], JobStatus]:
    """A driver's look at a job of one concept, after so many seconds, when so much of it is learned."""
    job_store = JobStore(MemoryStore())
    record = make_job(job_store.store, 1)
    reports = Reports(job_store)
    job = OpenJob(record, "", BaseModelRef("emoji", None, record.base_revision))

    def status(elapsed_s: float, part_done: float) -> JobStatus:
        view = JobView(record.id, {"leased": 1}, 0, elapsed_s, (), part_done)
        return reports.write(job, view, QueueView((view,), (), (), 0, 0, 1, 0, 0, ()))

    return status


def test_the_time_that_is_left_does_not_count_how_long_a_worker_took_to_start(
    look: Callable[[float, float], JobStatus],
) -> None:
    assert look(40.0, 0.0).eta_s is None
    assert look(41.0, 0.1).eta_s is None  # of the first step it is not known how long it took
    status = look(51.0, 0.3)
    assert status.eta_s == pytest.approx(35.0)
    assert status.concepts_per_hour == pytest.approx(0.02 * 3600)
