"""Publishing that is cut short anywhere, or whose replies are lost: one version per spec, and nothing is left over."""

import time
from collections.abc import Callable

import pytest

from tests.fixtures.faulty_store import FaultyStore
from textinv.errors import StoreError, StoreUnreachableError, UnknownConceptError
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry
from textinv.settings import StoreSettings
from textinv.store import MemoryStore, connect_store
from textinv.store.protocol import BINARY

Publish = Callable[..., PublishedVersion]
NUM_WRITES = 7  # format, three artifacts, claim, version, head


class MortalStore(MemoryStore):
    """Dies at its n-th write: before it when `lost`, else after it, when only the reply is lost."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left: int | None = None
        self.lost = True

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        return self._live(lambda: MemoryStore.put(self, key, body, content_type))

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        return self._live(lambda: MemoryStore.create(self, key, body, content_type))

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        return self._live(lambda: MemoryStore.swap(self, key, body, etag, content_type))

    def _live(self, write: Callable[[], str]) -> str:
        if self.writes_left is None:
            return write()
        if self.writes_left == 0:
            if not self.lost:
                write()
            raise StoreUnreachableError("dead")
        self.writes_left -= 1
        return write()


def _die_while_publishing(publish: Publish, num_writes: int, lost: bool) -> MortalStore:
    store = MortalStore()
    store.writes_left, store.lost = num_writes, lost
    with pytest.raises(StoreUnreachableError):
        publish(Registry(store), "robot", 1)
    store.writes_left = None
    return store


def _die_while_removing(publish: Publish) -> Registry:
    """A registry whose one concept is removed by its head, and by nothing else yet."""
    registry = Registry(MemoryStore())
    publish(registry, "robot", 1)
    store = registry.store
    kept = {info.key: store.get(info.key).body for info in store.list("") if not info.key.startswith("heads")}
    registry.remove("robot")
    for key, body in kept.items():
        store.put(key, body)
    return registry


@pytest.mark.parametrize("lost", [True, False])
@pytest.mark.parametrize("num_writes", range(NUM_WRITES))
def test_a_death_at_any_write_is_made_good_by_the_next_finisher(publish: Publish, num_writes: int, lost: bool) -> None:
    registry = Registry(_die_while_publishing(publish, num_writes, lost))
    assert publish(registry, "robot", 1).version == 1
    assert [one.version for one in registry.versions("robot")] == [1]
    assert registry.resolve(ConceptRef("robot")).version == 1
    registry.gc(grace_s=0)
    assert list(registry.verify()) == []
    assert len({info.key.split("/")[1] for info in registry.store.list("runs/")}) == 1


@pytest.mark.parametrize("num_writes", range(5, NUM_WRITES))
def test_a_claimed_publication_is_completed_by_whoever_asks(publish: Publish, num_writes: int) -> None:
    registry = Registry(_die_while_publishing(publish, num_writes, lost=True))
    found = registry.finished("spec-robot-1")
    assert found is not None
    assert found["version"] == 1
    assert registry.resolve(ConceptRef("robot")).version == 1


@pytest.mark.parametrize("num_writes", range(1, NUM_WRITES))
def test_gc_completes_what_was_claimed_and_removes_what_was_not(publish: Publish, num_writes: int) -> None:
    store = _die_while_publishing(publish, num_writes, lost=True)
    registry = Registry(store)
    claimed = num_writes >= 5
    before = {info.key: info.etag for info in store.list("")}
    planned = registry.gc(dry_run=True, grace_s=0)
    assert {key: tag for key, tag in ((i.key, i.etag) for i in store.list("")) if key != "index/clock"} == before
    report = registry.gc(grace_s=0)
    assert report == planned
    assert bool(report.completed) == claimed
    assert bool(list(store.list("runs/"))) == claimed
    assert [one.name for one in registry.list()] == (["robot"] if claimed else [])


def test_gc_leaves_young_runs_alone(publish: Publish) -> None:
    store = _die_while_publishing(publish, 4, lost=True)
    assert Registry(store).gc().removed_keys == []
    assert list(store.list("runs/"))


def test_gc_removes_no_runs_while_a_version_cannot_be_read(publish: Publish) -> None:
    store = _die_while_publishing(publish, 4, lost=True)
    publish(Registry(store), "other", 1)
    store.put("versions/other/00000001.json", b"{damaged")
    before = len(list(store.list("runs/")))
    report = Registry(store).gc(grace_s=0)
    assert report.damaged == ["versions/other/00000001.json"]
    assert len(list(store.list("runs/"))) == before


def test_a_removal_that_was_cut_short_holds_and_is_finished_by_gc(publish: Publish) -> None:
    registry = _die_while_removing(publish)
    assert registry.finished("spec-robot-1") is None
    with pytest.raises(UnknownConceptError, match="there is no concept 'robot'"):
        registry.resolve(ConceptRef("robot", 1))
    registry.gc(grace_s=0)
    left = [info.key for info in registry.store.list("")]
    assert not [key for key in left if key.startswith(("versions", "done", "runs"))]


def test_a_concept_can_be_learned_again_though_its_removal_was_cut_short(publish: Publish) -> None:
    store = MortalStore()
    registry = Registry(store)
    publish(registry, "robot", 1)
    claim = store.get("done/spec-robot-1.json").body
    registry.remove("robot")
    store.put("done/spec-robot-1.json", claim)
    assert publish(registry, "robot", 1).version == 2
    assert registry.resolve(ConceptRef("robot")).version == 2


def test_versions_of_a_removal_that_was_cut_short_do_not_come_back_with_the_name(publish: Publish) -> None:
    registry = _die_while_removing(publish)
    assert publish(registry, "robot", 2).version == 2
    assert [one.version for one in registry.versions("robot")] == [2]
    assert registry.finished("spec-robot-1") is None
    with pytest.raises(UnknownConceptError):
        registry.resolve(ConceptRef("robot", 1))


def test_a_version_is_there_though_the_head_is_damaged(publish: Publish) -> None:
    registry = Registry(MemoryStore())
    publish(registry, "robot", 1)
    registry.store.put("heads/robot@r1.json", b"[]")
    assert registry.resolve(ConceptRef("robot", 1)).version == 1
    registry.check_present("robot", 1)


def test_verify_names_what_is_missing_or_changed(publish: Publish) -> None:
    store = MemoryStore()
    registry = Registry(store)
    published = publish(registry, "robot", 1)
    publish(registry, "whole", 1)
    store.delete([f"runs/{published.run_id}/record.json", "done/spec-robot-1.json"])
    store.put(f"runs/{published.run_id}/preview.png", b"other picture")
    store.put("heads/robot@r1.json", b"[]")
    found = {problem.key for problem in registry.verify()}
    assert found == {
        f"runs/{published.run_id}/record.json",
        f"runs/{published.run_id}/preview.png",
        "done/spec-robot-1.json",
        "heads/robot@r1.json",
    }
    assert {problem.concept for problem in registry.verify()} == {"robot"}
    assert list(registry.verify("whole")) == []


@pytest.mark.store
@pytest.mark.parametrize(
    "faults",
    [{"swallow_every": 2}, {"refuse_every": 6}, {"delay_s": 0.04}],
    ids=["replies lost", "503", "slow"],
)
def test_a_store_that_misbehaves_gets_no_second_version(
    faulty_store: FaultyStore, s3_settings: StoreSettings, publish: Publish, faults: dict[str, float]
) -> None:
    registry = Registry(connect_store(faulty_store.settings))
    for name, value in faults.items():
        setattr(faulty_store, name, value)
    assert [publish(registry, "robot", number).version for number in (1, 2)] == [1, 2]
    assert faulty_store.num_faults >= 2 or faulty_store.delay_s
    direct = Registry(connect_store(s3_settings))
    assert [one.version for one in direct.versions("robot")] == [1, 2]
    assert direct.resolve(ConceptRef("robot")).version == 2
    assert list(direct.verify()) == []
    assert not direct.gc(grace_s=0).removed_keys


@pytest.mark.store
def test_a_full_store_is_told_as_such_and_what_was_begun_is_carried_through_later(
    faulty_store: FaultyStore, publish: Publish
) -> None:
    registry = Registry(connect_store(faulty_store.settings))
    publish(registry, "robot", 1)
    faulty_store.refuse_with, faulty_store.refuse_until = 500, time.monotonic() + 60.0
    with pytest.raises(StoreError, match="full disk"):
        publish(registry, "robot", 2)
    faulty_store.refuse_until = 0.0
    assert publish(registry, "robot", 2).version == 2
    assert list(registry.verify()) == []
