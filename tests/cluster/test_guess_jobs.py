"""A job without concepts in all that lists, shows or changes jobs: commands on a real store, without Ray."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.guess.sharing import shared_enough
from tests.guess.small_guess import small_guess
from textinv.errors import InputError
from textinv.jobs import ConceptStatus, Failure, JobRecord, JobStatus, JobStore
from textinv.jobs.guess_order import NAME, read_order
from textinv.jobs.migration import bases_of
from textinv.models.base import BaseModel
from textinv.registry.guesses import publish_guess, remove_guess
from textinv.store import S3Store

pytestmark = pytest.mark.store
Run = Callable[..., Any]
LOSSES = {"guess": 0.1, "words": 0.2}
WORTH = {"loss": LOSSES, "likeness": LOSSES, "concepts": 4, "better": 0.1, "at_least": 0.05}


@pytest.fixture
def run(run_beside_a_driver: Callable[..., tuple[int, Any]]) -> Run:
    """Runs a command; what it prints, and its exit code if it fails."""

    def run_command(*arguments: str) -> Any:
        exit_code, printed = run_beside_a_driver(*arguments)
        return printed if exit_code == 0 else (exit_code, printed)

    return run_command


@pytest.fixture
def record(run: Run, s3_store: S3Store, emoji: BaseModel) -> JobRecord:
    """The job that the command has submitted."""
    shared_enough(s3_store, emoji.revision)
    told = run("guess", "train", "--base", "emoji", "--steps", "5", "--no-follow")
    return JobStore(s3_store).load(told["job"])


def tell(store: S3Store, record: JobRecord, state: str, **fields: Any) -> None:
    """Say how far it is, as a driver does."""
    fingerprint = read_order(store, record.id).fingerprint
    one = ConceptStatus(name=NAME, fingerprint=fingerprint, state=state, max_steps=5, **fields)
    generation = JobStore(store).load(record.id).generation
    status = JobStatus(job_id=record.id, name=record.name, generation=generation, state=state, concepts=(one,))
    JobStore(store).write_status(status.model_copy(update={state: 1}))


def test_the_command_submits_a_job_that_is_listed_and_shown_and_submits_no_second_beside_it(
    run: Run, record: JobRecord, s3_store: S3Store, emoji: BaseModel
) -> None:
    assert (record.kind, record.base_revision, record.num_concepts) == ("guess", emoji.revision, 1)
    assert record.id in JobStore(s3_store).open_jobs()
    again = run("guess", "train", "--base", "emoji", "--steps", "5", "--no-follow")
    assert (again["job"], again["is_new"]) == (record.id, False)
    assert [(row["job"], row["kind"], row["state"]) for row in run("job", "ls")] == [(record.id, "guess", "waiting")]
    (guess,) = run("job", "show", record.id)["concepts"]
    assert (guess["name"], guess["state"], guess["max_steps"], guess["guess"]) == ("guess", "waiting", 5, None)
    tell(s3_store, record, "running", step=3, loss=0.25)
    (guess,) = run("job", "show", record.id[:12])["concepts"]
    assert (guess["state"], guess["step"], guess["loss"]) == ("running", 3, 0.25)


def test_who_follows_hears_why_it_failed_or_what_it_is_worth(
    run: Run, record: JobRecord, s3_store: S3Store, emoji: BaseModel
) -> None:
    fingerprint = read_order(s3_store, record.id).fingerprint
    why = Failure(fingerprint=fingerprint, name=NAME, code="invalid_input", message="no better than words")
    JobStore(s3_store).write_failure(record.id, why)
    tell(s3_store, record, "failed", problem="invalid_input: no better than words")
    status, told = run("guess", "train", "--base", "emoji", "--steps", "5")
    assert (status, told["status"]["concepts"][0]["problem"]) == (1, "invalid_input: no better than words")
    assert run("job", "show", record.id)["concepts"][0]["problem"] == "invalid_input: no better than words"
    publish_guess(s3_store, guess := small_guess(emoji, held_out=WORTH), fingerprint)
    told = run("guess", "train", "--base", "emoji", "--steps", "5")
    assert (told["job"], told["digest"], told["base_model"]) == (record.id, guess.digest, emoji.id)


def test_it_is_cancelled_resumed_and_done_as_any_job(
    run: Run, record: JobRecord, s3_store: S3Store, emoji: BaseModel
) -> None:
    assert run("job", "cancel", record.id)["changed"]
    assert not run("job", "cancel", record.id)["changed"]
    tell(s3_store, record, "cancelled")
    assert run("job", "resume", record.id)["changed"]
    assert run("job", "show", record.id)["concepts"][0]["state"] == "waiting"
    fingerprint = read_order(s3_store, record.id).fingerprint
    publish_guess(s3_store, guess := small_guess(emoji), fingerprint)
    publish_guess(s3_store, small_guess(emoji, 1), fingerprint)  # of a worker that was thought dead
    tell(s3_store, record, "done")
    assert run("job", "show", record.id)["concepts"][0]["guess"] == guess.digest
    assert run("job", "resume", record.id)["note"] == f"job {record.id} is done already: there is nothing to resume"
    remove_guess(s3_store, guess.digest)
    assert run("job", "resume", record.id)["changed"]


def test_what_is_said_of_pictures_and_concepts_is_refused_with_what_to_do(
    run: Run, record: JobRecord, s3_store: S3Store
) -> None:
    with pytest.raises(InputError, match="there is no concept 'fox'"):
        run("job", "cancel", record.id, "--concept", "fox")
    with pytest.raises(InputError, match="has no pictures of its own: purge the jobs that brought them"):
        run("job", "purge", record.id, "--yes")
    with pytest.raises(InputError, match="trains a guess, and a report tells of concepts"):
        run("job", "report", record.id)
    assert run("job", "logs", record.id) == {"lines": []}
    assert bases_of(s3_store) == {"emoji": {record.base_revision}}
    with pytest.raises(InputError, match="is said of a --folder"):
        run("guess", "train", "--base", "emoji", "--styles")


def test_a_job_that_was_stored_before_there_were_others_learns_concepts(record: JobRecord) -> None:
    stored = json.loads(record.body())
    del stored["kind"]
    assert JobRecord.model_validate(stored).kind == "concepts"
