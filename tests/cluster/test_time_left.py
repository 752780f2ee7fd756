"""How long a job will still take, as its status tells it."""

from collections.abc import Callable

import pytest

from cluster.driver.open_jobs import OpenJob
from cluster.driver.reports import Reports
from cluster.queue.messages import BaseModelRef, StepReport
from cluster.queue.views import JobView, QueueView, SpecView
from textinv.jobs import JobRecord, JobStatus, JobStore
from textinv.store import MemoryStore


@pytest.fixture
def look(make_job: Callable[..., JobRecord]) -> Callable[..., JobStatus]:
    """A driver's look at a job of one concept, after so many seconds, when so much of it is learned."""
    job_store = JobStore(MemoryStore())
    record = make_job(job_store.store, 1)
    reports = Reports(job_store)
    job = OpenJob(record, "", BaseModelRef("emoji", None, record.base_revision))

    def status(elapsed_s: float, part_done: float, done: int = 0, training_s: float = 0.0) -> JobStatus:
        report = StepReport(round(100 * part_done), 100, 0.5, 1, training_s, "training")
        spec = SpecView("fingerprint", "concept-0", "leased", "worker", report, None, None)
        view = JobView(record.id, {"leased": 1, "done": done}, 0, elapsed_s, (spec,), part_done)
        return reports.write(job, view, QueueView((view,), (), (), 0, 0, 1, 0, 0, ()))

    return status


def test_the_time_that_is_left_does_not_count_how_long_a_worker_took_to_start(
    look: Callable[..., JobStatus],
) -> None:
    assert look(40.0, 0.0).eta_s is None
    assert look(41.0, 0.1).eta_s is None  # of the first step it is not known how long it took
    status = look(51.0, 0.3)
    assert status.eta_s == pytest.approx(35.0)
    assert status.concepts_per_hour == pytest.approx(0.02 * 3600)


def test_concepts_that_took_no_steps_do_not_make_the_others_seem_short(look: Callable[..., JobStatus]) -> None:
    assert look(40.0, 0.0, done=1).eta_s is None
    assert look(42.0, 0.1, done=4, training_s=2.0).eta_s == pytest.approx(18.0)
