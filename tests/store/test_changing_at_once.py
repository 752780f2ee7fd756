"""Of two who read a record, change it and write it at the same time, neither change is lost."""

import threading
from collections.abc import Callable

import pytest
import torch

from services.access.keys import KeyRing
from tests.cluster.conftest import make_job, revision
from textinv.embedding import Embedding
from textinv.errors import StoreConflictError
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.fleet import StoredFleet
from textinv.jobs.layout import cancellation_key, job_key
from textinv.registry import Registry
from textinv.registry.layout import head_key
from textinv.store import MemoryStore, S3Store
from textinv.store.change import change
from textinv.store.protocol import StoredObject

__all__ = ["make_job", "revision"]
MakeJob = Callable[..., JobRecord]


class Overtaken(MemoryStore):
    """A store where somebody else acts just after an object was read for the first time."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.rival = "", lambda: None

    def get(self, key: str) -> StoredObject:
        try:
            return super().get(key)
        finally:
            if key == self.key:
                self.key = ""
                self.rival()


def overtake(store: Overtaken, key: str, rival: Callable[[], object]) -> None:
    store.key, store.rival = key, lambda: rival() and None


def test_two_cancellations_of_concepts_add_up(make_job: MakeJob) -> None:
    store = Overtaken()
    job_store, record = JobStore(store), make_job(store)

    def rival() -> None:
        # Between the first one's last look at what is cancelled and its write.
        overtake(store, cancellation_key(record.id), lambda: job_store.cancel(record.id, ["concept-1"], keep_rows=True))

    overtake(store, cancellation_key(record.id), rival)
    job_store.cancel(record.id, ["concept-0"])
    cancellation = job_store.cancellation(record.id)
    assert cancellation is not None
    assert (set(cancellation.names or ()), cancellation.keep_rows) == ({"concept-0", "concept-1"}, True)
    assert job_store.load(record.id).generation == record.generation + 2


def test_two_changes_of_a_fleet_both_hold() -> None:
    store, fleets = Overtaken(), []
    fleets += [StoredFleet(store, "f"), StoredFleet(store, "f")]
    overtake(store, "fleets/f/settings.json", lambda: fleets[1].change({"draining": True}))
    changed = fleets[0].change({"max_workers": 7})
    assert (changed.draining, changed.max_workers) == (True, 7)
    assert fleets[0].settings() == changed


def test_a_job_that_is_resumed_and_handed_over_at_once_has_both_in_its_record(make_job: MakeJob) -> None:
    store = Overtaken()
    job_store, record = JobStore(store), make_job(store)
    overtake(store, job_key(record.id), lambda: job_store.hand_over(record.id, record.fleet, "other"))
    job_store.cancel(record.id)
    assert job_store.load(record.id).fleet == "other"


def test_two_versions_that_are_published_at_once_leave_the_newer_one_current() -> None:
    store = Overtaken()
    registry = Registry(store)

    def publish(number: int) -> int:
        embedding = Embedding({"text_encoder": torch.full((1, 4), float(number))})
        facts = {"fingerprint": f"f{number}", "base_model": "emoji", "base_revision": "r"}
        return registry.publish("fox", embedding, {}, **facts).version

    publish(1)
    overtake(store, head_key("fox", "r"), lambda: publish(2))
    publish(3)
    assert [(one.version, one.current) for one in registry.versions("fox")] == [(1, False), (2, False), (3, True)]


def test_a_key_is_revoked_once() -> None:
    store = Overtaken()
    ring = KeyRing(store)
    _, key = ring.create("mine", "generate")
    revoked: list[str | None] = []
    overtake(store, f"keys/{key.id}.json", lambda: revoked.append(ring.revoke(key.id)[0].revoked))
    assert ring.revoke(key.id)[0].revoked == revoked[0]


@pytest.mark.store
def test_on_a_real_store_no_addition_of_four_writers_is_lost(s3_store: S3Store) -> None:
    def add(word: bytes) -> None:
        change(s3_store, "words", lambda body: (body or b"") + word)

    writers = [threading.Thread(target=add, args=(word,)) for word in (b"a", b"b", b"c", b"d")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(s3_store.get("words").body) == sorted(b"abcd")


def test_a_record_that_others_change_all_the_time_is_given_up_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("textinv.store.change.time.sleep", lambda seconds: None)
    store, counts = MemoryStore(), iter(range(1000))

    def make(body: bytes | None) -> bytes:
        store.put("busy", b"%d" % next(counts))
        return b"mine"

    with pytest.raises(StoreConflictError, match="many others"):
        change(store, "busy", make)
