"""Jobs as records in a store: submitting, changing one's mind, purging."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from textinv.embedding import Embedding
from textinv.errors import CorruptObjectError, ImageError, InputError, StoreConflictError, UnknownConceptError
from textinv.jobs import Failure, JobRecord, JobStore
from textinv.jobs.layout import job_key
from textinv.jobs.purge import purge
from textinv.jobs.status import JobState, waiting_status
from textinv.jobs.submission import Submission, submit_plan
from textinv.manifest import load_manifest
from textinv.plan import Plan, make_plan
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.spec import image_key

MakeJob = Callable[..., JobRecord]
DATA = Path(__file__).resolve().parents[1] / "data" / "quickstart"


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Plans a manifest of the first few concepts of the test data."""

    def plan(registry: Registry, num_concepts: int = 2, **defaults: object) -> Plan:
        folders = sorted(DATA.iterdir())[:num_concepts]
        concepts = [{"name": folder.name, "images": str(folder), "init": "ball"} for folder in folders]
        path = tmp_path / "My Things.yaml"
        path.write_text(yaml.safe_dump({"base_model": "emoji", "defaults": defaults, "concepts": concepts}))
        return make_plan(load_manifest(path), registry, base=BaseFacts("rev", 64))

    return plan


def submitted(plan: Plan, registry: Registry) -> Submission:
    return submit_plan(plan, registry, base_model="emoji", fleet="here")


def test_a_submitted_job_has_its_pictures_its_specs_and_a_mark(
    registry: Registry, planned: Callable[..., Plan]
) -> None:
    plan = planned(registry)
    made = submitted(plan, registry)
    job_store = JobStore(registry.store)
    assert made.record.id.startswith("my-things-")
    assert made.uploaded == len(plan.pictures) == 8
    assert list(job_store.specs(made.record)) == [one.spec for one in plan.specs]
    assert list(job_store.open_jobs()) == [made.record.id]
    for digest, source in plan.pictures.items():
        assert registry.store.get(image_key(digest)).body == source.read()


def test_the_same_manifest_is_the_same_job_and_uploads_nothing_again(
    registry: Registry, planned: Callable[..., Plan]
) -> None:
    first, second = submitted(planned(registry), registry), submitted(planned(registry), registry)
    assert (second.record.id, second.uploaded) == (first.record.id, 0)
    assert second.record.generation == first.record.generation + 1
    assert submitted(planned(registry, seed=3), registry).record.id != first.record.id


def test_a_picture_that_changed_after_it_was_planned_is_refused(
    registry: Registry, planned: Callable[..., Plan], tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for source in (DATA / "tulip").glob("*.png"):
        (folder / source.name).write_bytes(source.read_bytes())
    path = tmp_path / "one.yaml"
    concept = {"name": "one", "images": str(folder), "init": "ball"}
    path.write_text(yaml.safe_dump({"base_model": "emoji", "concepts": [concept]}))
    plan = make_plan(load_manifest(path), registry, base=BaseFacts("rev", 64))
    (folder / "0.png").write_bytes((folder / "1.png").read_bytes())
    with pytest.raises(ImageError, match=r"0\.png changed"):
        submitted(plan, registry)
    assert JobStore(registry.store).open_jobs() == {}


def test_submitting_again_forgets_failures_and_cancellations(registry: Registry, planned: Callable[..., Plan]) -> None:
    plan, job_store = planned(registry), JobStore(registry.store)
    record = submitted(plan, registry).record
    failed = plan.specs[0]
    job_store.write_failure(
        record.id,
        Failure(fingerprint=failed.fingerprint, name=failed.spec.name, code="diverged", message="it diverged"),
    )
    job_store.cancel(record.id, [plan.specs[1].spec.name])
    submitted(plan, registry)
    assert job_store.failed_fingerprints(record.id) == set()
    assert job_store.cancellation(record.id) is None


def test_cancellations_add_up_and_change_the_mark(registry: Registry, make_job: MakeJob) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store)
    mark = job_store.open_jobs()[record.id]
    job_store.cancel(record.id, ["concept-0"])
    job_store.cancel(record.id, ["concept-2"], keep_rows=True)
    cancellation = job_store.cancellation(record.id)
    assert cancellation is not None
    assert [cancellation.covers(f"concept-{number}") for number in range(3)] == [True, False, True]
    assert job_store.open_jobs()[record.id] != mark
    with pytest.raises(UnknownConceptError, match="nobody"):
        job_store.cancel(record.id, ["nobody"])
    with pytest.raises(UnknownConceptError, match="no job 'no-such-job'"):
        job_store.load("no-such-job")


def test_closing_a_job_that_somebody_changed_leaves_it_open(registry: Registry, make_job: MakeJob) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store)
    resumed = job_store.resume(record.id).record
    job_store.close(record)
    assert record.id in job_store.open_jobs()
    job_store.close(resumed)
    assert job_store.open_jobs() == {}


@pytest.mark.parametrize("other_is_over", [False, True])
def test_purging_deletes_the_pictures_that_no_other_job_uses(
    registry: Registry, make_job: MakeJob, other_is_over: bool
) -> None:
    job_store = JobStore(registry.store)
    record = make_job(registry.store, 3)
    with pytest.raises(StoreConflictError, match="has not ended"):
        purge(registry, record.id)
    job_store.close(record)
    other = make_job(registry.store, 1, name="other")
    if other_is_over:
        job_store.close(other)
    assert purge(registry, record.id) == (6, 3, (other.id,))
    shared = {image_key(ref.digest) for ref in job_store.spec_sheet(other.id, 0)[0].pictures}
    assert all(map(registry.store.exists, shared))
    assert job_store.resume(other.id).changed
    assert purge(registry, record.id).deleted == 0
    assert job_store.load(record.id) == record


def test_what_a_purged_job_had_kept_goes_with_the_last_job_that_uses_it(registry: Registry, make_job: MakeJob) -> None:
    job_store, jobs = JobStore(registry.store), []
    for number in (3, 2):
        jobs.append(make_job(registry.store, number, name=f"of {number}"))
        job_store.close(jobs[-1])
    assert [purge(registry, job.id)[:2] for job in jobs] == [(3, 6), (6, 0)]
    assert list(registry.store.list("images/")) == []


def test_a_purged_job_is_resumed_by_submitting_its_manifest_again(
    registry: Registry, planned: Callable[..., Plan]
) -> None:
    job_store, plan = JobStore(registry.store), planned(registry)
    record = submitted(plan, registry).record
    job_store.close(record)
    purge(registry, record.id)
    with pytest.raises(InputError, match="submit its manifest again"):
        job_store.resume(record.id)
    assert submitted(plan, registry).uploaded > 0
    assert job_store.resume(record.id).changed


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_cancelling_what_has_ended_changes_nothing_and_says_so(
    registry: Registry, make_job: MakeJob, state: JobState
) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store)
    end = waiting_status(record).model_copy(update={"state": state, "waiting": 0, state: 3, "elapsed_s": 12.0})
    job_store.write_status(end)
    job_store.close(record)
    before = everything_in(registry)
    for _ in range(2):
        outcome = job_store.cancel(record.id)
        assert (outcome.changed, outcome.record) == (False, record)
        assert outcome.note == f"job {record.id} is {state} already: there is nothing to cancel"
    assert job_store.current_status(outcome.record) == end
    assert everything_in(registry) == before


def test_cancelling_twice_changes_nothing_the_second_time(registry: Registry, make_job: MakeJob) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store)
    assert job_store.cancel(record.id, ["concept-0"]).changed
    assert job_store.cancel(record.id, ["concept-0"]).note == (
        "concept concept-0 is cancelled already: there is nothing to cancel"
    )
    mixed = job_store.cancel(record.id, ["concept-0", "concept-1"])
    assert (mixed.changed, "concept-0 is cancelled" in str(mixed.note)) == (True, True)
    assert job_store.cancel(record.id).changed
    before = everything_in(registry)
    assert not job_store.cancel(record.id).changed
    assert everything_in(registry) == before
    assert job_store.cancel(record.id, keep_rows=True).changed


def test_cancelling_a_job_that_is_closed_this_moment_leaves_it_to_a_driver(
    registry: Registry, make_job: MakeJob
) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store)
    job_store.close(record)  # its last status is not written yet, as the canceller sees it
    assert job_store.cancel(record.id).changed
    assert list(job_store.open_jobs()) == [record.id]


def test_a_job_that_is_done_is_resumed_only_when_something_of_it_is_gone(registry: Registry, make_job: MakeJob) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store, 1)
    (spec,) = job_store.specs(record)
    rows = Embedding({"text_encoder": torch.ones(1, 4)})
    registry.publish(
        spec.name, rows, {}, fingerprint=spec.fingerprint, base_model="emoji", base_revision=record.base_revision
    )
    job_store.write_status(waiting_status(record).model_copy(update={"state": "done", "waiting": 0, "done": 1}))
    job_store.close(record)
    outcome = job_store.resume(record.id)
    assert (outcome.changed, job_store.open_jobs()) == (False, {})
    assert "nothing to resume" in str(outcome.note)
    registry.remove(spec.name)
    assert job_store.resume(record.id).changed
    assert list(job_store.open_jobs()) == [record.id]


def test_submitting_what_is_done_again_keeps_its_figures(registry: Registry, planned: Callable[..., Plan]) -> None:
    plan, job_store = planned(registry, 1), JobStore(registry.store)
    record = submitted(plan, registry).record
    figures = {"state": "done", "waiting": 0, "done": 1, "elapsed_s": 12.0, "concepts_per_hour": 300.0}
    job_store.write_status(waiting_status(record).model_copy(update=figures))
    job_store.close(record)
    again = job_store.open(record, is_done=True)
    status = job_store.current_status(again)
    assert (status.state, status.elapsed_s, status.concepts_per_hour) == ("done", 12.0, 300.0)


def test_the_beginning_of_an_id_is_enough_where_it_is_of_one_job(registry: Registry, make_job: MakeJob) -> None:
    job_store = JobStore(registry.store)
    one, other = make_job(registry.store, 1, name="alpha"), make_job(registry.store, 1, name="alpine")
    assert job_store.find("alpha") == job_store.find(one.id) == one
    assert job_store.find(other.id[:-1]) == other
    with pytest.raises(InputError, match="several job ids begin with 'alp'"):
        job_store.find("alp")
    for wrong in ("beta", "", "../x", "alpha/"):
        with pytest.raises(UnknownConceptError):
            job_store.find(wrong)


def everything_in(registry: Registry) -> dict[str, str]:
    """The tags of all objects."""
    return {info.key: info.etag for info in registry.store.list("")}


def test_a_job_whose_record_is_damaged_is_named_in_a_line(registry: Registry, make_job: MakeJob) -> None:
    job_id, job_store = make_job(registry.store, 1).id, JobStore(registry.store)
    registry.store.put(job_key(job_id), b'{"id": 7}', "application/json")
    with pytest.raises(CorruptObjectError, match=f"{job_key(job_id)} is not a job record: Input should be") as caught:
        job_store.load(job_id)
    assert "\n" not in caught.value.message
