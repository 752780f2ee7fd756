"""The list of concepts before a store that takes its time, or is down."""

import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from services.concept_list import ConceptList
from tests.services.conftest import publish
from textinv.errors import CorruptObjectError, StoreUnreachableError
from textinv.registry import ConceptSummary, Registry
from textinv.registry.catalog import OnCorrupt
from textinv.registry.layout import head_key
from textinv.store.memory import MemoryStore


class SlowRegistry(Registry):
    """A registry whose lists wait until they may be read."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.may_read = threading.Event()

    def list(self, prefix: str = "", on_corrupt: OnCorrupt | None = None) -> Iterator[ConceptSummary]:
        self.may_read.wait(10)
        return super().list(prefix, on_corrupt)


class UnsteadyRegistry(Registry):
    """A registry whose store is down at times."""

    is_down = False

    def list(self, prefix: str = "", on_corrupt: OnCorrupt | None = None) -> Iterator[ConceptSummary]:
        if self.is_down:
            raise StoreUnreachableError("the store does not answer")
        return super().list(prefix, on_corrupt)


def test_a_slow_store_holds_nobody_up_who_can_have_the_list_before(store: MemoryStore) -> None:
    registry, now = SlowRegistry(store), [0.0]
    concepts = ConceptList(registry, clock=lambda: now[0])
    publish(store, "first")
    registry.may_read.set()
    assert [one.name for one in concepts.all()] == ["first"]
    registry.may_read.clear()
    publish(store, "second")
    now[0] = 10.0
    started = time.monotonic()
    assert [one.name for one in concepts.all()] == ["first"]
    assert time.monotonic() - started < 5.0
    registry.may_read.set()
    deadline = time.monotonic() + 10
    while len(concepts.all()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [one.name for one in concepts.all()] == ["first", "second"]


def test_a_list_that_takes_long_to_read_is_read_the_more_seldom(store: MemoryStore) -> None:
    registry, now, took_s = Registry(store), [0.0], 2.0
    read: list[float] = []

    def read_for_long(prefix: str = "", on_corrupt: OnCorrupt | None = None) -> Iterator[ConceptSummary]:
        read.append(now[0])
        now[0] += took_s
        return Registry.list(registry, prefix, on_corrupt)

    registry.list = read_for_long  # type: ignore[method-assign]
    concepts = ConceptList(registry, clock=lambda: now[0])
    while now[0] < 60.0:
        concepts.all()
        now[0] += 1.0
    assert [one - before for before, one in pairwise(read)] == [21.0, 21.0]  # ten times as long, and at the next look


def test_what_was_just_deleted_is_not_listed_again(store: MemoryStore) -> None:
    concepts = ConceptList(Registry(store))
    publish(store, "first")
    assert len(concepts.all()) == 1
    Registry(store).remove("first")
    concepts.forget()
    assert concepts.all() == ()


def test_while_the_store_is_down_the_list_stays_as_it_was_whatever_its_age(store: MemoryStore) -> None:
    registry, now = UnsteadyRegistry(store), [0.0]
    concepts = ConceptList(registry, clock=lambda: now[0])
    publish(store, "first")
    assert len(concepts.all()) == 1
    registry.is_down = True
    for now[0] in (10.0, 10_000.0):
        assert [one.name for one in concepts.all()] == ["first"]
    concepts.forget()
    assert [one.name for one in concepts.all()] == ["first"]
    registry.is_down = False
    publish(store, "second")
    now[0] = 20_000.0
    assert [one.name for one in concepts.all()] == ["first", "second"]


def test_a_damaged_concept_hides_no_other_and_is_logged_once(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("first", "second"):
        publish(store, name)
    store.put(head_key("first", "c0ffee"), b"{")
    concepts = ConceptList(Registry(store), kept_s=-1.0)
    assert [one.name for one in concepts.all()] == ["second"]
    assert [one.name for one in concepts.all()] == ["second"]
    assert [record.args[0] for record in caplog.records if record.levelname == "ERROR" and record.args] == ["first"]
    with pytest.raises(CorruptObjectError):
        list(Registry(store).list())


def test_a_list_that_was_never_read_is_an_error(store: MemoryStore) -> None:
    registry = UnsteadyRegistry(store)
    registry.is_down = True
    with pytest.raises(StoreUnreachableError):
        ConceptList(registry).all()
