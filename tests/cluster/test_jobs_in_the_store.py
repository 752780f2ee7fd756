"""Jobs as records in a store: submitting, changing one's mind, purging."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from textinv.errors import ImageError, StoreConflictError, UnknownConceptError
from textinv.jobs import Failure, JobRecord, JobStore
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
        Failure(fingerprint=failed.fingerprint, name=failed.spec.name, code="diverged", message="it diverged")
    )
    job_store.cancel(record.id, [plan.specs[1].spec.name])
    submitted(plan, registry)
    assert job_store.failed_fingerprints() == set()
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
    resumed = job_store.resume(record.id)
    job_store.close(record)
    assert record.id in job_store.open_jobs()
    job_store.close(resumed)
    assert job_store.open_jobs() == {}


def test_purging_deletes_pictures_but_not_those_of_an_open_job(registry: Registry, make_job: MakeJob) -> None:
    job_store = JobStore(registry.store)
    record = make_job(registry.store, 3)
    with pytest.raises(StoreConflictError, match="is not over"):
        job_store.purge(record.id, registry)
    job_store.close(record)
    make_job(registry.store, 1, name="other")
    assert job_store.purge(record.id, registry) == 6
    kept = job_store.spec_sheet(record.id, 0)[0]
    assert registry.store.exists(image_key(kept.pictures[0].digest))
    assert job_store.purge(record.id, registry) == 0
    assert job_store.load(record.id) == record
