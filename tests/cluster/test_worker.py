"""A worker with the real queue, the real training and a store in memory."""

import copy
import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cluster.queue.messages import WorkerCard
from cluster.worker import worker
from cluster.worker.config import PackSettings
from cluster.worker.worker import learn_leased
from tests.cluster.shared_queue import LetsGo, SharedQueue, told
from tests.evaluation.tiny_encoders import clip_folder
from tests.guess.sharing import share
from tests.guess.small_guess import small_guess
from textinv.errors import BaseModelError, BaseModelMismatchError, CorruptObjectError, ImageError, ObjectNotFoundError
from textinv.guess.guess import open_guess
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.layout import checkpoint_key, spec_sheet_key
from textinv.jobs.record import spec_sheets_of
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.sources import fetch_pictures
from textinv.registry import Registry
from textinv.registry.guesses import LearnedFrom, publish_guess, put_guess
from textinv.registry.shares import TAKEN_BACK, withdraw
from textinv.spec import PictureRef, image_key
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore

PACK = PackSettings(num_slots=2, lease_s=30.0, checkpoint_every_s=0.0)
MakeJob = Callable[..., JobRecord]


def card(number: int = 0) -> WorkerCard:
    return WorkerCard(f"crew/{number}", "crew", number)


def test_a_worker_publishes_every_concept_and_leaves_no_checkpoint(
    registry: Registry, model: BaseModel, make_job: MakeJob
) -> None:
    queue = told(registry, make_job(registry.store), LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK)
    job = queue.view().jobs[0]
    assert job.counts["done"] == 3
    assert {summary.name: summary.version for summary in registry.list()} == {f"concept-{n}": 1 for n in range(3)}
    assert JobStore(registry.store).checkpoints() == set()
    record = registry.resolve(ConceptRef("concept-0", None)).record
    assert record["worker"] == "crew/0"
    assert queue.view().workers == ()


def test_what_a_worker_learned_is_scored_in_its_record(registry: Registry, small: BaseModel, make_job: MakeJob) -> None:
    learn_leased(
        lambda: small,
        told(registry, make_job(registry.store, 1, evaluate=True, kind="style"), LetsGo()),
        registry,
        card(),
        PACK,
    )
    evaluation = registry.resolve(ConceptRef("concept-0")).record["evaluation"]
    assert {"fidelity", "real_to_real", "initializer_fidelity", "editability"} < set(evaluation["encoders"][0])
    assert 0 <= evaluation["judge"]["editability"] <= 1
    assert evaluation["anchor_word"] == "ball"


def test_encoders_that_a_worker_is_told_of_score_in_the_place_of_the_bases_own(
    registry: Registry, model: BaseModel, make_job: MakeJob, tmp_path: Path
) -> None:
    queue = told(registry, make_job(registry.store, 1, evaluate=True), LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK, encoders=[clip_folder(tmp_path)])
    (scores,) = registry.resolve(ConceptRef("concept-0")).record["evaluation"]["encoders"]
    assert scores["encoder"] == str(tmp_path)
    assert {"fidelity", "editability"} < set(scores)


def test_a_worker_that_is_told_to_go_hands_back_and_the_next_one_resumes_from_its_checkpoints(
    registry: Registry, model: BaseModel, make_job: MakeJob
) -> None:
    queue = told(registry, make_job(registry.store, 2, max_steps=10), LetsGo())
    steps = iter(range(1000))
    learn_leased(lambda: model, queue, registry, card(), PACK, lambda: next(steps) >= 7)
    assert queue.view().jobs[0].counts["waiting"] == 2
    assert len(JobStore(registry.store).checkpoints()) == 2
    assert all(event.kind != "failed" for event in queue.view().events)
    learn_leased(lambda: model, queue, registry, card(1), PACK)
    record = registry.resolve(ConceptRef("concept-0", None)).record
    assert record["steps"] == 10
    assert record["sample_passes"] == 20
    assert queue.view().jobs[0].counts["done"] == 2


def test_a_worker_that_is_told_to_learns_with_a_compiled_unet_where_there_is_a_compiler(
    registry: Registry, model: BaseModel, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What compiling does is in `tests/training/test_compiled.py`."""
    ways = [(PACK, True), (replace(PACK, compiled=True), True), (replace(PACK, compiled=True), False)]
    told_to: list[BaseModel] = []

    def noted(given: BaseModel) -> BaseModel:
        told_to.append(given)
        return copy.copy(given)

    monkeypatch.setattr(worker, "compiled", noted)
    for seed, (pack, has_compiler) in enumerate(ways):
        monkeypatch.setattr(worker, "has_compiler", lambda there=has_compiler: there)
        queue = told(registry, make_job(registry.store, 1, seed=seed), LetsGo())
        learn_leased(lambda: model, queue, registry, card(), pack)
        assert queue.view().jobs[0].counts["done"] == 1
    assert told_to == [model]


@pytest.fixture(scope="module")
def calm(model: BaseModel, make_job: MakeJob) -> Registry:
    """What is learned where nothing is harmed."""
    registry = Registry(MemoryStore())
    learn_leased(lambda: model, told(registry, make_job(registry.store), LetsGo()), registry, card(), PACK)
    return registry


def harm(store: ObjectStore, record: JobRecord, way: str) -> None:
    """Make the first picture of the second concept unreadable."""
    specs = JobStore(store).spec_sheet(record.id, 0)
    first, *others = specs[1].pictures
    rubbish = b"no picture at all"
    if way == "gone":
        store.delete([image_key(first.digest)])
    elif way == "changed":
        store.put(image_key(first.digest), rubbish)
    else:
        digest = hashlib.sha256(rubbish).hexdigest()
        store.put(image_key(digest), rubbish)
        specs[1] = specs[1].model_copy(update={"pictures": (PictureRef(digest=digest, name="rubbish.png"), *others)})
        store.put(spec_sheet_key(record.id, 0), spec_sheets_of(specs)[0])


@pytest.mark.parametrize(
    ("way", "code"),
    [("gone", ObjectNotFoundError.code), ("changed", CorruptObjectError.code), ("undecodable", ImageError.code)],
)
def test_a_picture_that_cannot_be_read_fails_its_own_concept_and_the_others_do_not_notice(
    way: str, code: str, registry: Registry, calm: Registry, model: BaseModel, make_job: MakeJob
) -> None:
    record = make_job(registry.store)
    harm(registry.store, record, way)
    queue = told(registry, record, LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK)
    assert dict(queue.view().jobs[0].counts) | {"waiting": 0, "leased": 0} == {
        "waiting": 0,
        "leased": 0,
        "done": 2,
        "failed": 1,
    }
    failed = [event for event in queue.view().events if event.kind == "failed"]
    assert failed[0].name == "concept-1"
    assert code in failed[0].text
    for name in ("concept-0", "concept-2"):
        found, expected = (one.resolve(ConceptRef(name)).embedding.rows["text_encoder"] for one in (registry, calm))
        assert (found - expected).norm() / expected.norm() < 1e-4


def test_a_broken_checkpoint_costs_another_try_and_then_the_concept(
    registry: Registry, model: BaseModel, make_job: MakeJob
) -> None:
    record = make_job(registry.store, 1)
    spec = JobStore(registry.store).spec_sheet(record.id, 0)[0]
    registry.store.put(checkpoint_key(spec.fingerprint), b"rubbish")
    queue = told(registry, record, LetsGo())
    learn_leased(lambda: model, queue, registry, card(), PACK)
    assert queue.view().jobs[0].counts["done"] == 1


@pytest.mark.parametrize("already", [True, False])
def test_a_worker_that_is_dismissed_before_it_has_a_base_model_leaves_and_is_no_failed_start(
    registry: Registry, make_job: MakeJob, already: bool
) -> None:
    queue = told(registry, make_job(registry.store), SharedQueue())

    def load() -> BaseModel:
        queue.dismiss(["crew"])
        raise BaseModelError("weights are missing on this node")

    if already:
        queue.dismiss(["crew"])
    learn_leased(load, queue, registry, card(), replace(PACK, lease_s=0.6))
    view = queue.view()
    assert (view.workers, view.deaths, view.failed_starts) == ((), 0, ())


def test_another_base_model_than_the_jobs_is_told_to_the_queue(registry: Registry, make_job: MakeJob) -> None:
    queue = told(registry, make_job(registry.store), SharedQueue())

    def load() -> BaseModel:
        raise BaseModelMismatchError("emoji is c0ffee here")

    with pytest.raises(BaseModelMismatchError):
        learn_leased(load, queue, registry, card(), PACK)
    assert "c0ffee" in queue.view().failed_starts[0]


def test_rows_are_predicted_by_the_guess_that_a_spec_names_whatever_was_published_since(
    registry: Registry, emoji: BaseModel, make_job: MakeJob
) -> None:
    pinned = small_guess(emoji)
    put_guess(registry.store, pinned)
    publish_guess(registry.store, small_guess(emoji, 1))
    at_once = {"init": "guess", "start_digest": pinned.digest, "min_steps": 0}
    job = make_job(registry.store, 2, 0, base_revision=emoji.revision, **at_once)
    queue = told(registry, job, LetsGo())
    learn_leased(lambda: emoji, queue, registry, card(), PACK)
    assert queue.view().jobs[0].counts["done"] == 2
    learned = registry.resolve(ConceptRef("concept-0"))
    assert learned.record["start"] == f"guess {pinned.digest[:12]}"
    (spec, *_) = JobStore(registry.store).spec_sheet(job.id, 0)
    pictures = fetch_pictures(spec, lambda digest: registry.store.get(image_key(digest)).body)
    guess = open_guess(pinned, emoji)
    rows = guess.rows([picture.pixels for picture in pictures], "object", 1).rows["text_encoder"]
    assert torch.allclose(learned.embedding.rows["text_encoder"], rows, rtol=1e-4)


def test_a_concept_whose_guess_is_gone_or_of_another_base_model_fails_and_no_other(
    registry: Registry, emoji: BaseModel, make_job: MakeJob
) -> None:
    other = small_guess(emoji, base_revision="f" * 64)
    put_guess(registry.store, other)
    for digest, said in (("d" * 64, "is not in the store any more"), (other.digest, "but this is")):
        record = make_job(registry.store, 1, 0, init="guess", start_digest=digest, min_steps=0)
        queue = told(registry, record, LetsGo())
        learn_leased(lambda: emoji, queue, registry, card(), PACK)
        assert [said in event.text for event in queue.view().events if event.kind == "failed"] == [True]


def test_nothing_new_starts_from_a_guess_that_became_stale_and_what_has_begun_goes_on(
    registry: Registry, emoji: BaseModel, make_job: MakeJob
) -> None:
    given = share(registry.store, 0, emoji.revision)
    guess = small_guess(emoji, shares=(LearnedFrom(share=given.id, tenant="acme", pictures=()),))
    put_guess(registry.store, guess)
    named = {"init": "guess", "start_digest": guess.digest, "base_revision": emoji.revision, "resolution_px": 32}
    begun = make_job(registry.store, 1, 4, name="begun", **named)
    queue, started = told(registry, begun, LetsGo()), time.monotonic()

    def has_notice() -> bool:
        return bool(JobStore(registry.store).checkpoints()) or time.monotonic() - started > 60

    learn_leased(lambda: emoji, queue, registry, card(), PACK, has_notice)
    assert len(JobStore(registry.store).checkpoints()) == 1
    withdraw(registry.store, [given], TAKEN_BACK)
    for record, kind in ((begun, "done"), (make_job(registry.store, 1, 1, min_steps=0, **named), "failed")):
        queue = told(registry, record, LetsGo())
        learn_leased(lambda: emoji, queue, registry, card(), PACK)
        texts = [event.text for event in queue.view().events if event.kind == kind]
        assert len(texts) == 1
        assert ("is stale, as 1 of the 1 concepts" in texts[0]) == (kind == "failed")
