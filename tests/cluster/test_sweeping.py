"""`textinv concept gc` and `textinv job purge` on a real store: previews and checkpoints of what is gone go as well."""

from collections.abc import Callable

import pytest
import torch

from tests.services.job_tools import photo
from textinv.embedding import Embedding
from textinv.errors import CorruptObjectError
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.previews import PREVIEW_FILE, preview_steps, write_preview
from textinv.jobs.purge import purge
from textinv.jobs.sweep import sweep_jobs
from textinv.placeholders import ConceptRef
from textinv.registry import Registry, copy_concept
from textinv.spec import TrainSpec
from textinv.store import MemoryStore, S3Store

pytestmark = pytest.mark.store
MakeJob = Callable[..., JobRecord]
DRAWN = photo(1, form="JPEG")


@pytest.fixture
def registry(s3_store: S3Store) -> Registry:
    """An empty registry on a real server."""
    return Registry(s3_store)


def publish(registry: Registry, spec: TrainSpec) -> None:
    """Publish what a worker would, with previews on the way and the one that is kept."""
    for step in (5, 10):
        write_preview(registry.store, spec.fingerprint, step, b"drawn after %d" % step)
    registry.publish(
        spec.name,
        Embedding({"text_encoder": torch.ones(1, 8)}),
        {"steps": 10},
        fingerprint=spec.fingerprint,
        base_model="emoji",
        base_revision="r1",
        files={PREVIEW_FILE: DRAWN},
    )


def swept(registry: Registry, grace_s: float = 0.0, dry_run: bool = False) -> list[str]:
    """What `gc` removes of runs and jobs."""
    found = registry.gc(dry_run=dry_run, grace_s=grace_s).removed_keys
    return found + [info.key for info in sweep_jobs(registry, grace_s=grace_s, dry_run=dry_run)]


def previews_of(registry: Registry, record: JobRecord) -> dict[str, list[int]]:
    specs = JobStore(registry.store).spec_sheet(record.id, 0)
    return {spec.name: preview_steps(registry.store, spec.fingerprint) for spec in specs}


def test_a_checkpoint_that_came_after_the_end_is_swept_away_and_others_are_not(
    registry: Registry, make_job: MakeJob
) -> None:
    job_store = JobStore(registry.store)
    done, _ = job_store.spec_sheet(make_job(registry.store, 2).id, 0)
    publish(registry, done)
    job_store.write_checkpoint(done.fingerprint, b"late")
    job_store.write_checkpoint("unfinished", b"needed")
    late = [f"checkpoints/{done.fingerprint}"]
    assert (swept(registry, 3600, dry_run=True), swept(registry, 3600), swept(registry, 3600)) == (late, late, [])
    assert job_store.checkpoints() == {"unfinished"}


def test_previews_of_what_has_no_version_and_is_not_learned_any_more_are_swept_away(
    registry: Registry, make_job: MakeJob
) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store, 4)
    done, removed, given_up, resumable = job_store.spec_sheet(record.id, 0)
    for spec in (done, removed):
        publish(registry, spec)
    for spec in (given_up, resumable):
        write_preview(registry.store, spec.fingerprint, 5, b"drawn")
    job_store.write_checkpoint(resumable.fingerprint, b"state")
    registry.remove(removed.name)
    assert swept(registry) == []  # the job is open: all of them may be learned yet
    job_store.close(record)
    assert swept(registry, grace_s=3600) == []
    doomed = [f"previews/{removed.fingerprint}/{step:06d}.jpg" for step in (5, 10)]
    doomed.append(f"previews/{given_up.fingerprint}/000005.jpg")
    before = previews_of(registry, record)
    assert sorted(swept(registry, dry_run=True)) == sorted(doomed)
    assert previews_of(registry, record) == before
    assert sorted(swept(registry)) == sorted(doomed)
    assert previews_of(registry, record) == {
        done.name: [5, 10],
        removed.name: [],
        given_up.name: [],
        resumable.name: [5],
    }
    assert registry.picture(done.name) == (DRAWN, "image/jpeg")


def test_a_purge_deletes_the_pictures_beside_versions_and_leaves_them_whole(
    registry: Registry, make_job: MakeJob
) -> None:
    job_store, record = JobStore(registry.store), make_job(registry.store, 2)
    (spec, other) = job_store.spec_sheet(record.id, 0)
    for one in (spec, other):
        publish(registry, one)
    job_store.close(record)
    shared = make_job(registry.store, 1, name="still learning")  # it needs the pictures of the first
    assert purge(registry, record.id) == (3, 3, (shared.id,))
    assert registry.picture(spec.name) == (DRAWN, "image/jpeg")
    assert registry.picture(other.name) is None
    assert (len(registry.pictures(spec.name, 1)), len(registry.pictures(other.name, 1))) == (1, 0)
    job_store.close(shared)
    assert purge(registry, shared.id) == (3, 0, ())
    assert registry.picture(spec.name) is None
    assert [info.key for info in registry.store.list("") if info.key.endswith(".jpg")] == []
    assert list(registry.verify()) == []
    assert swept(registry) == []
    found = registry.resolve(ConceptRef(spec.name, 1))
    assert (found.version, found.record) == (1, {"steps": 10})
    copied = copy_concept(registry, Registry(MemoryStore()), ConceptRef(spec.name))
    assert copied.embedding == found.embedding
    registry.remove(spec.name)
    assert not [info.key for info in registry.store.list("runs/") if found.run_id in info.key]


def test_a_purge_that_was_cut_short_is_carried_through_by_gc(registry: Registry, make_job: MakeJob) -> None:
    spec, other = JobStore(registry.store).spec_sheet(make_job(registry.store, 2).id, 0)
    for one in (spec, other):
        publish(registry, one)
    (_, artifact) = registry.pictures(spec.name, 1)[0]
    registry.purge_pictures([spec.fingerprint, "never finished"])
    registry.store.put(artifact.key, DRAWN)  # as when the purge died before it
    assert list(registry.verify()) == []
    assert (swept(registry, dry_run=True), swept(registry), swept(registry)) == ([artifact.key], [artifact.key], [])
    assert not registry.store.exists(artifact.key)
    assert registry.picture(other.name) == (DRAWN, "image/jpeg")


def test_a_picture_that_nobody_purged_and_that_is_gone_is_reported(registry: Registry, make_job: MakeJob) -> None:
    (spec,) = JobStore(registry.store).spec_sheet(make_job(registry.store, 1).id, 0)
    publish(registry, spec)
    (_, artifact) = registry.pictures(spec.name, 1)[0]
    registry.store.delete([artifact.key])
    assert [problem.key for problem in registry.verify()] == [artifact.key]
    with pytest.raises(CorruptObjectError, match=PREVIEW_FILE):
        registry.picture(spec.name)
