"""What a person sees of a job."""

import io
import threading
import time
from collections.abc import Callable

import pytest
from rich.console import Console

from cluster.commands.follow import Lines, follow, job_facts, progress_line
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


def test_a_pipe_gets_steps_loss_and_the_time_that_is_left_though_nothing_changes_its_state(
    registry: Registry, make_job: MakeJob
) -> None:
    record, heard = make_job(registry.store, 1), io.StringIO()
    lines = Lines(Console(file=heard, width=200), every_s=0.0)
    lines.update(status_of(record, 12))
    lines.update(status_of(record, 16))
    lines.update(status_of(record, 40, done=True))
    assert heard.getvalue().splitlines() == [
        "[0/1] concept-0: step 12, loss 0.2500",
        "[0/1] concept-0: step 12 of at most 40, loss 0.2500; about 0:01:15 left",
        "[0/1] concept-0: step 16 of at most 40, loss 0.2500; about 0:01:15 left",
        "[1/1] concept-0: done: <concept-0@3>, loss 0.2500, 40 steps",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workers": 0}, "waiting for a worker, which takes a minute to start: 0:00:31 so far"),
        ({"workers": 2}, "other jobs come first: 0:00:31 so far"),
        ({"problem": "it waits until the store answers"}, "it waits until the store answers"),
    ],
)
def test_while_nothing_runs_a_pipe_is_told_what_it_waits_for(
    registry: Registry, make_job: MakeJob, changes: dict[str, object], said: str
) -> None:
    status = status_of(make_job(registry.store, 1), 0).model_copy(update={"concepts": (), "eta_s": None, **changes})
    assert progress_line(status, 31.0) == f"[0/1] {said}"


def test_before_any_concept_has_ended_the_steps_tell_the_time_that_is_left(
    registry: Registry, make_job: MakeJob
) -> None:
    status = status_of(make_job(registry.store, 1), 10)
    (one,) = status.concepts
    slow = one.model_copy(update={"elapsed_s": 20.0})
    line = progress_line(status.model_copy(update={"eta_s": None, "concepts": (slow,)}), 0.0)
    assert line.endswith("about 0:01:00 left")


def test_after_the_last_step_no_time_is_told_that_has_run_out(registry: Registry, make_job: MakeJob) -> None:
    status = status_of(make_job(registry.store, 1), 40)
    (one,) = status.concepts
    taken = one.model_copy(update={"elapsed_s": 20.0})
    over = status.model_copy(update={"eta_s": None, "concepts": (taken,)})
    line = progress_line(over, 0.0)
    assert "left" not in job_facts(over.model_copy(update={"eta_s": 0.0}))
    assert line == "[0/1] concept-0: all 40 steps taken, being finished, loss 0.2500"
