"""A store that an older program wrote is refused by name, and migrated it is as if this one had written it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.fixtures.store_of_format_1 import unpack_manifests, unpack_store
from textinv.errors import OldFormatError, StoreError
from textinv.generation import GenerateRequest, generate
from textinv.jobs import JobStore
from textinv.jobs.layout import checkpoint_key
from textinv.jobs.migration import bases_of, migrate
from textinv.jobs.previews import preview_steps, read_preview, write_preview
from textinv.jobs.submission import submit_plan
from textinv.manifest import load_manifest
from textinv.models import revisions_of
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan import make_plan
from textinv.registry import Registry
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore
from textinv.training.checkpoint import Checkpoint

FOX, DRUM = ConceptRef("dotty-fox"), ConceptRef("drum")


@pytest.fixture(scope="module")
def revisions() -> dict[str, str]:
    """The demo base's new revision by its old one."""
    return dict([revisions_of("emoji")])


@pytest.fixture
def old() -> MemoryStore:
    """A store of format 1."""
    return unpack_store()


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {info.key: store.get(info.key).body for info in store.list("")}


def test_a_store_of_an_older_program_is_refused_with_the_command_that_helps(old: MemoryStore, tmp_path: Path) -> None:
    registry = Registry(old)
    manifest = load_manifest(unpack_manifests(tmp_path) / "learned.yaml")
    for use in (
        lambda: registry.resolve(FOX),
        lambda: list(registry.list()),
        lambda: registry.finished("f" * 64),
        lambda: make_plan(manifest, registry),
    ):
        with pytest.raises(OldFormatError, match=r"is of format 1, and this program's is 2.*`textinv store migrate`"):
            use()


def test_a_migrated_store_opens_draws_and_plans_done(
    old: MemoryStore, revisions: dict[str, str], emoji: BaseModel, tmp_path: Path
) -> None:
    (before, now) = next(iter(revisions.items()))
    assert bases_of(old) == {"emoji": {before}}
    report = migrate(old, revisions)
    assert (report.versions, report.heads, report.jobs, report.kept, report.damaged) == (3, 2, 3, [], [])
    registry = Registry(old, now)
    assert [(one.name, one.version, one.base_revision) for one in registry.list()] == [
        ("dotty-fox", 2, now),
        ("drum", 1, now),
    ]
    assert [(one.version, one.current) for one in registry.versions("dotty-fox")] == [(1, False), (2, True)]
    assert list(registry.verify()) == []
    assert registry.gc(grace_s=0).removed_keys == []
    mounts = {ref: registry.resolve(ref) for ref in (FOX, DRUM)}
    request = GenerateRequest("a <dotty-fox> on a <drum>", num_inference_steps=2, seed=1)
    (picture,) = generate(emoji, request, mounts)
    assert picture.pixels.shape == (64, 64, 3)
    manifests = unpack_manifests(tmp_path)
    for file, versions in (("learned.yaml", [2, 1]), ("earlier.yaml", [1])):
        plan = make_plan(load_manifest(manifests / file), registry)
        assert [(one.state, one.version) for one in plan.specs] == [("done", version) for version in versions]
    fresh = make_plan(load_manifest(manifests / "troubled.yaml"), registry)
    assert [one.state for one in fresh.specs] == ["new", "new"]


def test_jobs_follow_with_what_failed_and_who_died(old: MemoryStore, revisions: dict[str, str]) -> None:
    migrate(old, revisions)
    job_store = JobStore(old)
    (job_id,) = job_store.open_jobs()
    record = job_store.load(job_id)
    given_up, suspected = job_store.specs(record)
    assert record.base_revision == given_up.base_revision == next(iter(revisions.values()))
    failure = job_store.failure(job_id, given_up.fingerprint)
    assert failure is not None
    assert (failure.code, failure.fingerprint) == ("diverged", given_up.fingerprint)
    assert [death["reason"] for death in job_store.deaths(job_id, suspected.fingerprint).evidence] == ["SIGKILL"]
    assert job_store.failed_fingerprints(job_id) == {given_up.fingerprint}
    done = [one for one in job_store.jobs() if one.id != job_id]
    registry = Registry(old)
    assert all(registry.finished(spec.fingerprint) for one in done for spec in job_store.specs(one))


def test_migrating_twice_changes_nothing_more_and_a_dry_run_nothing_at_all(
    old: MemoryStore, revisions: dict[str, str]
) -> None:
    untouched = contents(old)
    foreseen = migrate(old, revisions, dry_run=True)
    assert contents(old) == untouched
    assert migrate(old, revisions) == foreseen
    migrated = contents(old)
    again = migrate(old, revisions)
    assert (again.versions, again.jobs) == (0, 0)
    assert contents(old) == migrated


class CutShort(MemoryStore):
    """Fails for good after so many changes."""

    def __init__(self, contents: dict[str, bytes], num_changes: int) -> None:
        super().__init__()
        self.left = len(contents) + num_changes
        for key, body in contents.items():
            self.put(key, body)

    def put(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        """Write an object."""
        self._spend()
        return super().put(key, body, content_type)

    def create(self, key: str, body: bytes, content_type: str = "application/octet-stream") -> str:
        """Write a new object."""
        self._spend()
        return super().create(key, body, content_type)

    def delete(self, keys: object) -> None:
        """Delete objects."""
        doomed = list(keys)  # type: ignore[call-overload]
        if doomed:
            self._spend()
        super().delete(doomed)

    def _spend(self) -> None:
        if self.left == 0:
            raise StoreError("it was cut short")
        self.left -= 1


def interrupted(start: dict[str, bytes], revisions: dict[str, str]) -> Iterator[CutShort]:
    """Stores whose migration was cut short after one change, after two, and so on."""
    for num_changes in range(200):
        store = CutShort(start, num_changes)
        try:
            migrate(store, revisions)
        except StoreError:
            yield store
        else:
            return
    raise AssertionError("the migration never ends")


def test_wherever_it_is_cut_short_doing_it_again_ends_in_the_same_store(
    old: MemoryStore, revisions: dict[str, str]
) -> None:
    start = contents(old)
    migrate(old, revisions)
    whole, num_cuts = contents(old), 0
    for store in interrupted(start, revisions):
        num_cuts += 1
        with pytest.raises(OldFormatError):
            Registry(store).resolve(FOX)
        store.left = -1
        migrate(store, revisions)
        assert contents(store) == whole
    assert num_cuts > 20


def test_what_was_learned_on_a_base_that_is_not_at_hand_stays_readable_and_is_migrated_later(
    old: MemoryStore, revisions: dict[str, str], tmp_path: Path
) -> None:
    before = next(iter(revisions))
    report = migrate(old, {})
    assert report.kept == ["dotty-fox@1", "dotty-fox@2", "drum@1"]
    registry = Registry(old)
    assert registry.resolve(FOX).base_revision == before
    assert [one.name for one in registry.list()] == ["dotty-fox", "drum"]
    later = migrate(old, revisions)
    assert (later.versions, later.kept) == (3, [])
    plan = make_plan(load_manifest(unpack_manifests(tmp_path) / "learned.yaml"), Registry(old))
    assert [one.state for one in plan.specs] == ["done", "done"]
    assert [info.key for info in old.list("heads/") if before[:16] in info.key] == []


def test_a_store_of_this_format_says_so_and_one_of_a_newer_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    manifest = load_manifest(unpack_manifests(tmp_path) / "learned.yaml")
    submit_plan(make_plan(manifest, Registry(store)), Registry(store), base_model="emoji")
    assert store.get("format.json").body == b'{"format":2}'
    store.put("format.json", b'{"format":3}')
    for use in (lambda: Registry(store).resolve(FOX), lambda: migrate(store, {})):
        with pytest.raises(StoreError, match="use a newer textinv"):
            use()


def test_what_is_half_learned_follows_its_spec(old: MemoryStore, revisions: dict[str, str]) -> None:
    jobs = JobStore(old)
    record = next(record for record in jobs.jobs() if record.name == "troubled")
    before = next(iter(jobs.specs(record)))
    half = Checkpoint(before.fingerprint, {"step": 3}, {"rows": torch.ones(2)}, {})
    old.put(checkpoint_key(before.fingerprint), half.to_bytes())
    write_preview(old, before.fingerprint, 10, b"picture")
    migrate(old, revisions)
    after = next(iter(jobs.specs(jobs.load(record.id))))
    assert after.fingerprint != before.fingerprint
    kept = Checkpoint.from_bytes(old.get(checkpoint_key(after.fingerprint)).body)
    assert (kept.fingerprint, kept.counters, kept.tensors["rows"].tolist()) == (after.fingerprint, {"step": 3}, [1, 1])
    assert read_preview(old, after.fingerprint, 10) == b"picture"
    assert not old.exists(checkpoint_key(before.fingerprint))
    assert list(preview_steps(old, before.fingerprint)) == []
