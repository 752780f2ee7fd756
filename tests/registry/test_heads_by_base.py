"""Each base model has its own head of a concept; numbers are the concept's own."""

from collections.abc import Callable

import pytest

from textinv.embedding import Embedding
from textinv.errors import InputError, UnknownConceptError
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry
from textinv.store.protocol import ObjectStore

FOX = ConceptRef("fox")
Teach = Callable[[int, str], PublishedVersion]


@pytest.fixture
def teach(registry: Registry, make_embedding: Callable[[int], Embedding]) -> Teach:
    """Publishes what a spec of that number learned on a base model."""

    def teach(number: int, base: str) -> PublishedVersion:
        return registry.publish(
            "fox",
            make_embedding(number),
            {"steps": number},
            fingerprint=f"fox-{number}-{base}",
            base_model=f"model-{base}",
            base_revision=base,
        )

    return teach


def meant(store: ObjectStore, base: str | None) -> int:
    return Registry(store, base).resolve(FOX).version


def test_teaching_on_a_new_base_takes_nothing_from_services_of_the_old_one(
    registry: Registry, store: ObjectStore, teach: Teach
) -> None:
    assert [teach(1, "old").version, teach(2, "new").version, teach(3, "old").version] == [1, 2, 3]
    assert [meant(store, base) for base in ("old", "new", "another", None)] == [3, 2, 3, 3]
    assert [(one.version, one.current) for one in registry.versions("fox")] == [(1, False), (2, True), (3, True)]
    assert [(one.version, one.base_revision) for one in registry.list_heads()] == [(2, "new"), (3, "old")]
    for base, version in (("old", 3), ("new", 2), (None, 3)):
        assert [one.version for one in Registry(store, base).list()] == [version]


def test_a_rollback_moves_the_head_of_its_own_base_alone(registry: Registry, store: ObjectStore, teach: Teach) -> None:
    for number, base in enumerate(("old", "new", "old", "new"), 1):
        teach(number, base)
    assert registry.move_head("fox", 1).version == 1
    assert [meant(store, base) for base in ("old", "new")] == [1, 4]
    registry.reconcile("fox")
    assert registry.gc(grace_s=0).completed == []
    assert [meant(store, base) for base in ("old", "new")] == [1, 4]
    with pytest.raises(InputError, match="fox@4 is the current version"):
        registry.remove("fox", 4)
    registry.remove("fox", 3)


def test_a_removed_concept_is_gone_on_every_base_and_its_numbers_are_not_given_again(
    registry: Registry, store: ObjectStore, teach: Teach
) -> None:
    teach(1, "old")
    teach(2, "new")
    registry.remove("fox")
    for base in ("old", "new", None):
        with pytest.raises(UnknownConceptError):
            meant(store, base)
    assert teach(1, "old").version == 3
    assert [meant(store, base) for base in ("old", "new")] == [3, 3]
    with pytest.raises(UnknownConceptError):
        registry.entry("fox", 2)


def test_who_used_another_bases_rows_learns_of_its_own_when_there_are_some(store: ObjectStore, teach: Teach) -> None:
    teach(1, "old")
    here = Registry(store, "new")
    known = here.resolve(FOX)
    assert (known.version, known.base_revision) == (1, "old")
    assert here.refresh(known) is known
    teach(2, "new")
    assert here.refresh(known).version == 2
