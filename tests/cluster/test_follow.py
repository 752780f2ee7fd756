"""What a person sees of a job."""

import io
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from cluster.commands.follow import follow
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.registry import Registry

MakeJob = Callable[..., JobRecord]


def status_of(record: JobRecord, step: int, *, done: bool = False) -> JobStatus:
    state = "done" if done else "running"
    concept = ConceptStatus(
        name="concept-0",
        fingerprint="fp",
        state=state,  # type: ignore[arg-type]
        step=step,
        max_steps=40,
        loss=0.25,
        version=3 if done else None,
    )
    return JobStatus(
        job_id=record.id,
        name=record.name,
        generation=record.generation,
        state=state,  # type: ignore[arg-type]
        done=int(done),
        running=int(not done),
        eta_s=None if done else 75.0,
        concepts=(concept,),
    )


@pytest.mark.parametrize("is_terminal", [True, False])
def test_following_shows_steps_and_results_until_the_job_ends(
    registry: Registry, make_job: MakeJob, is_terminal: bool
) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store, 1)
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=is_terminal, width=160, soft_wrap=True)
    job_store.write_status(status_of(record, 12))

    def end_soon() -> None:
        time.sleep(0.6)
        job_store.write_status(status_of(record, 40, done=True))

    ending = threading.Thread(target=end_soon)
    ending.start()
    looks: list[int] = []
    status = follow(job_store, record, console, keep_alive=lambda: looks.append(1), poll_s=0.1)
    ending.join()
    assert status.state == "done"
    assert looks
    text = shown.getvalue()
    assert "step 12, loss 0.2500" in text
    assert "<concept-0@3>" in text
    assert ("0:01:15 left" in text) == is_terminal


def test_following_ends_when_its_time_is_over_and_ignores_the_status_of_an_earlier_submission(
    registry: Registry, make_job: MakeJob
) -> None:
    job_store, first = JobStore(registry.store), make_job(registry.store, 1)
    job_store.write_status(status_of(first, 40, done=True))
    record = job_store.resume(first.id).record
    status = follow(job_store, record, Console(file=io.StringIO()), timeout_s=0.3, poll_s=0.1)
    assert status.state == "waiting"
