"""What a registry says of records that are damaged, lost, or of names that nothing is stored under."""

import json

import pytest

from tests.registry.conftest import Publish
from textinv.errors import (
    CorruptObjectError,
    StoreConflictError,
    StoreCredentialsError,
    StoreError,
    UnknownConceptError,
)
from textinv.placeholders import GUESS, ConceptRef
from textinv.registry import Registry
from textinv.registry.catalog import CATALOG_KEY
from textinv.registry.formats import FORMAT_KEY
from textinv.registry.layout import DONE, head_key, version_key
from textinv.store import MemoryStore
from textinv.store.protocol import BINARY


def test_rows_in_a_head_that_are_none_are_named_with_the_head(publish: Publish) -> None:
    store = MemoryStore()
    published = publish(Registry(store), "cat", 1)
    key = head_key("cat", published.base_revision)
    head = json.loads(store.get(key).body)
    store.put(key, json.dumps(head | {"embedding": "no base64!"}).encode(), "application/json")
    with pytest.raises(CorruptObjectError, match=f"{key} carries no readable embedding"):
        Registry(store).resolve(ConceptRef("cat"))


def test_what_was_only_guessed_lies_in_no_store() -> None:
    with pytest.raises(UnknownConceptError, match="<cat@guess> lies in no store"):
        version_key("cat", GUESS)


def test_a_format_that_is_no_number_is_refused(publish: Publish) -> None:
    store = MemoryStore()
    publish(Registry(store), "cat", 1)
    store.put(FORMAT_KEY, b'{"format": "two"}', "application/json")
    with pytest.raises(StoreError, match="format"):
        Registry(store).resolve(ConceptRef("cat"))


def test_a_concept_that_was_removed_while_it_was_in_use_is_unknown_at_the_next_look(publish: Publish) -> None:
    store = MemoryStore()
    known = publish(Registry(store), "cat", 1)
    registry = Registry(store)
    held = registry.resolve(ConceptRef("cat"))
    store.delete([head_key("cat", known.base_revision), version_key("cat", 1)])
    with pytest.raises(UnknownConceptError, match="cat"):
        registry.refresh(held)


def test_who_may_only_read_lists_concepts_as_well(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    publish(Registry(store), "cat", 1)
    put = store.put

    def refused(key: str, body: bytes, media_type: str) -> str:
        if key == CATALOG_KEY:
            raise StoreCredentialsError("may only read")
        return put(key, body, media_type)

    monkeypatch.setattr(store, "put", refused)
    assert [one.name for one in Registry(store).list()] == ["cat"]


class _ClaimsVanish(MemoryStore):
    """A store in which somebody removes each claim as soon as it is made."""

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        if key.startswith(DONE):
            raise StoreConflictError("there is one")
        return super().create(key, body, content_type)


def test_a_claim_that_keeps_disappearing_ends_in_an_error_and_not_in_a_loop(publish: Publish) -> None:
    with pytest.raises(StoreConflictError, match="the claim on cat keeps disappearing"):
        publish(Registry(_ClaimsVanish()), "cat", 1)


class _RemovedMeanwhile(MemoryStore):
    """A store in which a concept's number is taken, and its claim removed, while a version is being published."""

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        if key == version_key("cat", 1):
            self.delete([info.key for info in self.list(DONE)])
            raise StoreConflictError("taken")
        return super().create(key, body, content_type)


def test_a_concept_that_is_removed_while_it_is_published_is_told_as_that(publish: Publish) -> None:
    with pytest.raises(StoreConflictError, match="cat was removed while it was being published"):
        publish(Registry(_RemovedMeanwhile()), "cat", 1)
