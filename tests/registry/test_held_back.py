"""A version that its record holds back is published; what is current stays so until somebody promotes it."""

from collections.abc import Callable
from typing import Any

import pytest

from textinv.embedding import Embedding
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry
from textinv.registry.publication import complete, read_claim
from textinv.store import MemoryStore

HELD = {"gate": {"mode": "on", "against": 1, "reasons": ["likeness fell"], "held": "likeness fell"}}
FOX = ConceptRef("fox")


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryStore())


@pytest.fixture
def publish(registry: Registry, make_embedding: Callable[[int], Embedding]) -> Callable[..., PublishedVersion]:
    def publish(number: int, record: dict[str, Any], name: str = "fox") -> PublishedVersion:
        return registry.publish(
            name, make_embedding(number), record, fingerprint=f"s{number}", base_model="emoji", base_revision="r1"
        )

    return publish


def test_what_is_held_back_can_be_drawn_by_its_number_and_is_not_current(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, {})
    second = publish(2, HELD)
    assert second.version == 2
    assert registry.resolve(FOX).version == 1
    assert registry.resolve(ConceptRef("fox", 2)).digest == second.digest
    assert [(one.version, one.current, one.held) for one in registry.versions("fox")] == [
        (1, True, None),
        (2, False, "likeness fell"),
    ]


def test_it_stays_so_whoever_finishes_or_repeats_the_publication(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, {})
    publish(2, HELD)
    claim = read_claim(registry.store, "s2")
    assert claim is not None
    complete(registry.store, claim)
    publish(2, HELD)
    registry.reconcile("fox")
    registry.gc(grace_s=0)
    assert registry.resolve(FOX).version == 1
    assert list(registry.verify()) == []
    assert registry.finished("s2") is not None


def test_promoting_makes_it_current_and_the_next_good_one_follows_by_itself(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, {})
    publish(2, HELD)
    found, note = registry.roll_back("fox", 2)
    assert (found.version, note, registry.resolve(FOX).version) == (2, None, 2)
    assert publish(3, {}).version == 3
    assert registry.resolve(FOX).version == 3


def test_the_first_version_of_a_concept_is_current_in_any_case(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, HELD)
    assert registry.resolve(FOX).version == 1


def test_a_name_that_was_removed_has_nothing_to_protect(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, {})
    registry.remove("fox")
    publish(2, HELD)
    assert registry.resolve(FOX).version == 2
