"""A guess as work of the fleet: real queue, real training and a store in memory; only measuring, which takes seconds
and is tested with the command, is stood in for."""

import io
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.queue.messages import WorkerCard
from cluster.worker import guesses
from cluster.worker.config import PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, SharedQueue, told
from tests.evaluation.tiny_encoders import clip_folder
from tests.guess.sharing import shared_enough
from tests.guess.small_guess import small_guess
from textinv.errors import InputError, StoreError
from textinv.guess.training import GuessTraining
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.guess_order import read_order, trained_guess
from textinv.jobs.guess_submission import submit_guess
from textinv.jobs.layout import checkpoint_key
from textinv.jobs.sweep import sweep_jobs
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.registry.guesses import GuessFile, current_guess
from textinv.registry.shares import TAKEN_BACK, withdraw
from textinv.store.protocol import ObjectStore

FLEET = "fleet-of-tests"
PACK = PackSettings(num_slots=2, lease_s=0.6, checkpoint_every_s=0.0)
MakeJob = Callable[..., JobRecord]


def card(number: int = 0) -> WorkerCard:
    return WorkerCard(f"crew/{number}", "crew", number)


def asked(registry: Registry, base_revision: str, steps: int) -> JobRecord:
    return submit_guess(registry, "emoji", base_revision, steps=steps, fleet=FLEET).record


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """An encoder, as the small base model has none of its own."""
    return [clip_folder(tmp_path_factory.mktemp("clip"))]


class Measured:
    """Stands for measuring: it says whether what it is given is better than words, and remembers its weights."""

    def __init__(self) -> None:
        self.is_better = True
        self.weights: list[dict[str, torch.Tensor]] = []

    def __call__(
        self, model: BaseModel, encoder: object, training: GuessTraining, held_out: object, **told: Any
    ) -> GuessFile:
        self.weights.append(training.averaged().state_dict())
        found = {way: {"guess": 0.1, "words": 0.2} for way in ("loss", "likeness")}
        worth = {**found, "is_better": self.is_better, "concepts": 4, "better": 0.1, "at_least": 0.05}
        return small_guess(model, shares=told["shares"], source=told["source"], held_out=worth)


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    measured = Measured()
    monkeypatch.setattr(guesses, "finished", measured)
    return measured


class KilledError(BaseException):
    """A worker dies."""


def test_a_guess_is_trained_and_published_once_and_a_job_of_the_same_order_is_done(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    given = shared_enough(registry.store, model.revision)
    record = asked(registry, model.revision, 1)
    assert asked(registry, model.revision, 1) == record  # it is under way
    queue = told(registry, record, LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK, encoders=eyes)
    assert queue.view().jobs[0].counts["done"] == 1
    digest = current_guess(registry.store, model.revision)
    assert digest == trained_guess(registry.store, read_order(registry.store, record.id))
    assert JobStore(registry.store).checkpoints() == set()
    again = submit_guess(registry, "emoji", model.revision, steps=1, fleet=FLEET)
    assert (again.digest, again.is_new, len(again.order.shares)) == (digest, False, len(given))
    assert told(registry, again.record, SharedQueue()).view().jobs[0].counts["done"] == 1
    assert submit_guess(registry, "emoji", model.revision, steps=2, fleet=FLEET).record.id != record.id


def test_a_worker_dies_and_the_next_one_goes_on_from_the_checkpoint_to_the_same_guess(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    shared_enough(registry.store, model.revision)
    store, record = JobStore(registry.store), asked(registry, model.revision, 2)
    queue = told(registry, record, LetsGo())

    def dies_before_its_second_checkpoint() -> bool:
        (guess,) = queue.view().jobs[0].specs
        if guess.report is not None and guess.report.step == 2:
            wait_until(store.checkpoints)
            raise KilledError("out of memory")
        return False

    with pytest.raises(KilledError):
        learn_leased(lambda: model, queue, registry, card(), PACK, dies_before_its_second_checkpoint, encoders=eyes)
    assert queue.view().deaths == 1
    state = torch.load(store_file(registry.store, store.checkpoints().pop()), weights_only=True)
    assert state["step"] == 1
    learn_leased(lambda: model, queue, registry, card(1), PACK, encoders=eyes)
    assert queue.view().jobs[0].counts["done"] == 1

    whole = Registry(type(registry.store)())
    shared_enough(whole.store, model.revision)
    learn_leased(
        lambda: model, told(whole, asked(whole, model.revision, 2), LetsGo()), whole, card(), PACK, encoders=eyes
    )
    resumed, unharmed = measured.weights
    assert all(torch.allclose(resumed[name], unharmed[name], atol=1e-5) for name in unharmed)


def wait_until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.01)


def store_file(store: ObjectStore, fingerprint: str) -> Any:
    return io.BytesIO(store.get(checkpoint_key(fingerprint)).body)


def test_a_cancel_ends_it_and_a_resumed_job_goes_on_where_it_was(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    shared_enough(registry.store, model.revision)
    job_store, record = JobStore(registry.store), asked(registry, model.revision, 100_000)
    queue = told(registry, record, LetsGo())

    def cancels_once_it_runs() -> bool:
        if job_store.checkpoints() and job_store.cancellation(record.id) is None:
            job_store.cancel(record.id)
            told(registry, record, queue)
        return False

    learn_leased(lambda: model, queue, registry, card(), PACK, cancels_once_it_runs, encoders=eyes)
    assert queue.view().jobs[0].counts["cancelled"] == 1
    assert job_store.failed_fingerprints(record.id) == set()
    assert len(job_store.checkpoints()) == 1
    assert job_store.resume(record.id).changed
    assert told(registry, record, SharedQueue()).view().jobs[0].counts["waiting"] == 1


def test_a_share_that_is_taken_back_while_it_is_trained_ends_it_with_the_reason_and_nothing_is_kept(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    given = shared_enough(registry.store, model.revision)
    job_store, record = JobStore(registry.store), asked(registry, model.revision, 100_000)
    queue = told(registry, record, LetsGo())

    def withdraws_once_it_runs() -> bool:
        if job_store.checkpoints():
            withdraw(registry.store, given[:1], TAKEN_BACK)
        return False

    learn_leased(lambda: model, queue, registry, card(), PACK, withdraws_once_it_runs, encoders=eyes)
    (fingerprint,) = job_store.failed_fingerprints(record.id)
    failure = job_store.failure(record.id, fingerprint)
    assert failure is not None
    assert "1 of the 8 concepts that it learned from were withdrawn: taken back by hand (1)" in failure.message
    assert (failure.code, failure.name) == (InputError.code, "guess")
    assert job_store.checkpoints() == set()
    assert current_guess(registry.store, model.revision) is None
    with pytest.raises(InputError, match="7 concepts of emoji"):
        asked(registry, model.revision, 100_000)


def test_what_is_no_better_than_words_is_not_published_and_the_job_says_what_was_measured(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    measured.is_better = False
    shared_enough(registry.store, model.revision)
    job_store, record = JobStore(registry.store), asked(registry, model.revision, 1)
    queue = told(registry, record, LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK, encoders=eyes)
    (fingerprint,) = job_store.failed_fingerprints(record.id)
    failure = job_store.failure(record.id, fingerprint)
    assert failure is not None
    assert "on 4 concepts that it has not seen its loss is" in failure.message
    assert "it is not published; train it on more concepts" in failure.message
    (failed,) = [event.text for event in queue.view().events if event.kind == "failed"]
    assert failed == f"{failure.code}: {failure.message}"
    assert job_store.checkpoints() == set()


def test_a_worker_without_eyes_for_it_says_so(registry: Registry, model: BaseModel) -> None:
    shared_enough(registry.store, model.revision)
    queue = told(registry, asked(registry, model.revision, 1), LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK)
    (failed,) = [event.text for event in queue.view().events if event.kind == "failed"]
    assert failed.startswith("invalid_settings: ")


def test_concepts_and_a_guess_take_turns_on_one_worker(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured, make_job: MakeJob
) -> None:
    shared_enough(registry.store, model.revision)
    guess, begun = asked(registry, model.revision, 100_000), time.monotonic()
    queue = told(registry, guess, SharedQueue())

    def submits_concepts_once_it_runs() -> bool:
        if JobStore(registry.store).checkpoints() and len(queue.view().jobs) == 1:
            told(registry, make_job(registry.store, 3, 1), queue)
        assert time.monotonic() - begun < 60
        jobs = queue.view().jobs
        return len(jobs) == 2 and jobs[1].counts.get("done") == 3 and jobs[0].counts.get("leased") == 1

    pack = replace(PACK, guess_turn_s=0.0)
    learn_leased(lambda: model, queue, registry, card(), pack, submits_concepts_once_it_runs, encoders=eyes)
    names = [event.name for event in queue.view().events if event.kind == "leased"]
    assert names[0] == "guess"
    assert "concept-0" in names[1:]
    assert "guess" in names[2:]
    assert len(list(registry.list())) == 3


def test_a_checkpoint_that_comes_after_the_guess_was_published_is_swept(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    shared_enough(registry.store, model.revision)
    record = asked(registry, model.revision, 1)
    fingerprint = read_order(registry.store, record.id).fingerprint
    job_store = JobStore(registry.store)
    job_store.write_checkpoint(fingerprint, b"half way")
    assert sweep_jobs(registry, grace_s=0.0) == []
    job_store.drop_checkpoint(fingerprint)
    learn_leased(lambda: model, told(registry, record, LetsGo()), registry, card(), PACK, encoders=eyes)
    job_store.write_checkpoint(fingerprint, b"late")
    assert [info.key for info in sweep_jobs(registry, grace_s=0.0)] == [checkpoint_key(fingerprint)]


def test_an_error_of_foreign_code_fails_the_guess_and_not_the_worker_and_one_of_a_picture_is_tried_again(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_enough(registry.store, model.revision)
    errors: list[Exception] = [StoreError("the picture does not come")]
    advance = GuessTraining.advance

    def fails(training: GuessTraining) -> float:
        if errors:
            raise errors.pop(0)
        return advance(training)

    monkeypatch.setattr(GuessTraining, "advance", fails)
    queue = told(registry, asked(registry, model.revision, 1), LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK, encoders=eyes)
    assert queue.view().jobs[0].counts["done"] == 1
    errors += [ZeroDivisionError("by nothing")] * 20
    queue = told(registry, asked(registry, model.revision, 2), LetsGo())
    learn_leased(lambda: model, queue, registry, card(1), PACK, encoders=eyes)
    texts = [event.text for event in queue.view().events if event.kind == "failed"]
    assert texts == ["training_failed: the guess cannot be trained here: ZeroDivisionError: by nothing"]


def test_a_state_that_cannot_be_read_is_dropped_and_the_guess_begins_anew(
    registry: Registry, model: BaseModel, eyes: list[Path], measured: Measured
) -> None:
    shared_enough(registry.store, model.revision)
    record, job_store = asked(registry, model.revision, 1), JobStore(registry.store)
    fingerprint = read_order(registry.store, record.id).fingerprint
    job_store.write_checkpoint(fingerprint, b"no state")
    queue = told(registry, record, LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK, encoders=eyes)
    assert queue.view().jobs[0].counts["done"] == 1
    assert job_store.checkpoints() == set()
    assert any("it begins anew" in event.text for event in queue.view().events)
