"""Publishing, resolving, moving and removing concepts, on the store in memory and on a real S3 server."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from textinv.embedding import Embedding
from textinv.errors import CorruptObjectError, InputError, StoreError, UnknownConceptError
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry, catalog, copy_concept
from textinv.store import MemoryStore, ObjectStore

Publish = Callable[..., PublishedVersion]
Make = Callable[[int], Embedding]


def _numbers(registry: Registry, name: str) -> list[int]:
    return [version.version for version in registry.versions(name)]


def test_what_was_published_is_resolved_whole(registry: Registry, publish: Publish, make_embedding: Make) -> None:
    publish(registry, "robot", 7)
    found = registry.resolve(ConceptRef("robot"))
    assert (found.name, found.version, found.base_model, found.base_revision) == ("robot", 1, "emoji", "r1")
    assert found.embedding == make_embedding(7)
    assert found.digest == make_embedding(7).digest
    assert found.record == {"steps": 7, "why": "converged"}


def test_publishing_returns_what_resolving_finds(registry: Registry, publish: Publish) -> None:
    given, found = publish(registry, "robot", 7), registry.resolve(ConceptRef("robot", 1))
    assert (given.version, given.digest, given.run_id, given.record) == (1, found.digest, found.run_id, found.record)


def test_versions_count_up_and_each_stays_what_it_was(
    registry: Registry, publish: Publish, make_embedding: Make
) -> None:
    for number in (1, 2, 3):
        assert publish(registry, "robot", number).version == number
    assert _numbers(registry, "robot") == [1, 2, 3]
    assert [version.current for version in registry.versions("robot")] == [False, False, True]
    assert registry.resolve(ConceptRef("robot", 1)).embedding == make_embedding(1)
    assert registry.resolve(ConceptRef("robot")).embedding == make_embedding(3)


def test_a_second_finisher_of_a_spec_publishes_nothing(
    registry: Registry, publish: Publish, store: ObjectStore
) -> None:
    first = publish(registry, "robot", 1)
    before = [info.key for info in store.list("")]
    second = publish(registry, "robot", 1)
    assert (second.version, second.run_id) == (first.version, first.run_id)
    assert [info.key for info in store.list("")] == before


def test_many_finishers_of_one_spec_make_one_version(registry: Registry, publish: Publish) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda _: publish(registry, "robot", 1), range(6)))
    assert {(one.version, one.run_id) for one in found} == {(1, found[0].run_id)}
    assert _numbers(registry, "robot") == [1]


def test_many_specs_of_one_concept_make_a_version_each(registry: Registry, publish: Publish) -> None:
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda number: publish(registry, "robot", number), range(6)))
    assert sorted(one.version for one in found) == [1, 2, 3, 4, 5, 6]
    assert _numbers(registry, "robot") == [1, 2, 3, 4, 5, 6]
    assert registry.resolve(ConceptRef("robot")).version == 6
    for number, one in enumerate(found):
        assert registry.finished(f"spec-robot-{number}") == registry.entry("robot", one.version).model_dump()


def test_a_finished_spec_is_known_by_its_fingerprint(registry: Registry, publish: Publish) -> None:
    assert registry.finished("spec-robot-1") is None
    published = publish(registry, "robot", 1)
    found = registry.finished("spec-robot-1")
    assert found is not None
    assert (found["name"], found["version"], found["run_id"]) == ("robot", 1, published.run_id)
    assert registry.finished_fingerprints() == {"spec-robot-1"}


def test_one_result_cannot_get_two_names(registry: Registry, publish: Publish, make_embedding: Make) -> None:
    publish(registry, "robot", 1)
    with pytest.raises(InputError, match="already published as robot@1, not as other"):
        registry.publish(
            "other", make_embedding(1), {}, fingerprint="spec-robot-1", base_model="emoji", base_revision="r1"
        )


def test_a_name_that_no_prompt_can_say_is_refused(registry: Registry, publish: Publish) -> None:
    with pytest.raises(InputError, match="Robot"):
        publish(registry, "Robot", 1)


def test_an_unchanged_head_is_the_same_object(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    known = registry.resolve(ConceptRef("robot"))
    assert registry.refresh(known) is known
    publish(registry, "robot", 2)
    assert registry.refresh(known).version == 2


def test_a_version_asked_for_by_number_is_never_asked_again(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    known = registry.resolve(ConceptRef("robot", 1))
    registry.remove("robot")
    assert registry.refresh(known) is known


def test_a_version_is_looked_for_without_being_read(registry: Registry, publish: Publish) -> None:
    for spec in (1, 2):
        publish(registry, "robot", spec)
    registry.check_present("robot", 1)
    registry.remove("robot", 1)
    with pytest.raises(UnknownConceptError, match="it has version 2"):
        registry.check_present("robot", 1)
    registry.check_present("robot", 2)
    registry.remove("robot")
    with pytest.raises(UnknownConceptError, match="robot"):
        registry.check_present("robot", 2)


def test_an_unknown_concept_is_named_with_close_ones(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot-friend", 1)
    with pytest.raises(UnknownConceptError, match=r"'robot-freind'.*did you mean robot-friend") as caught:
        registry.resolve(ConceptRef("robot-freind"))
    assert caught.value.details == {"concept": "robot-freind", "close": ["robot-friend"]}


def test_an_unknown_version_is_named_with_those_there_are(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    with pytest.raises(UnknownConceptError, match=r"no version 9 of concept 'robot'; it has version 1"):
        registry.resolve(ConceptRef("robot", 9))


def test_concepts_are_listed_in_order_by_prefix(registry: Registry, publish: Publish) -> None:
    for name in ("cat", "dog", "cat-2"):
        publish(registry, name, 1)
    assert [one.name for one in registry.list()] == ["cat", "cat-2", "dog"]
    assert [(one.name, one.version, one.num_vectors, one.widths) for one in registry.list("do")] == [
        ("dog", 1, 2, {"text_encoder": 8})
    ]


def test_a_long_list_is_right_whether_its_catalog_is_fresh_stale_or_broken(
    registry: Registry, publish: Publish, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"concept-{number:02d}" for number in range(20)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: publish(registry, name, 1), names))
    assert [one.name for one in registry.list()] == names
    assert store.exists("index/catalog.json.gz")
    publish(registry, "concept-03", 2)
    registry.remove("concept-04")
    expected = [(name, 2 if name == "concept-03" else 1) for name in names if name != "concept-04"]
    assert [(one.name, one.version) for one in registry.list()] == expected
    assert [(one.name, one.version) for one in Registry(store).list()] == expected
    store.put("index/catalog.json.gz", b"\x1f\x8bbroken")
    assert [(one.name, one.version) for one in Registry(store).list()] == expected
    monkeypatch.setattr(catalog, "read_head_at", None)  # what was read once is known
    assert [(one.name, one.version) for one in registry.list()] == expected


def test_a_rollback_holds_until_something_new_is_published(registry: Registry, publish: Publish) -> None:
    for number in (1, 2, 3):
        publish(registry, "robot", number)
    assert registry.move_head("robot", 1).version == 1
    registry.reconcile("robot")
    registry.gc()
    assert publish(registry, "robot", 2).version == 2
    assert registry.resolve(ConceptRef("robot")).version == 1
    assert publish(registry, "robot", 4).version == 4
    assert registry.resolve(ConceptRef("robot")).version == 4


def test_a_rollback_changes_the_tag_though_the_version_was_current_before(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    tag = registry.resolve(ConceptRef("robot")).etag
    publish(registry, "robot", 2)
    assert registry.move_head("robot", 1).etag != tag


def test_a_rollback_to_a_version_that_is_not_there_changes_nothing(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    with pytest.raises(UnknownConceptError, match="version 2"):
        registry.move_head("robot", 2)
    with pytest.raises(UnknownConceptError, match="rabot"):
        registry.move_head("rabot", 1)
    assert registry.resolve(ConceptRef("robot")).version == 1


def test_a_removed_concept_is_gone_and_its_numbers_are_not_given_again(
    registry: Registry, publish: Publish, store: ObjectStore
) -> None:
    publish(registry, "robot", 1)
    known = registry.resolve(ConceptRef("robot"))
    registry.remove("robot")
    for ask in (
        lambda: registry.resolve(ConceptRef("robot")),
        lambda: registry.resolve(ConceptRef("robot", 1)),
        lambda: registry.refresh(known),
        lambda: registry.versions("robot"),
        lambda: registry.remove("robot"),
    ):
        with pytest.raises(UnknownConceptError):
            ask()
    assert list(registry.list()) == []
    assert registry.finished("spec-robot-1") is None
    assert not list(store.list("runs/"))
    assert publish(registry, "robot", 1).version == 2


def test_the_current_version_cannot_be_removed_alone(registry: Registry, publish: Publish) -> None:
    publish(registry, "robot", 1)
    publish(registry, "robot", 2)
    with pytest.raises(InputError, match="robot@2 is the current version"):
        registry.remove("robot", 2)
    registry.remove("robot", 1)
    assert _numbers(registry, "robot") == [2]
    assert registry.finished("spec-robot-1") is None


def test_a_layout_of_the_future_is_refused(registry: Registry, store: ObjectStore) -> None:
    store.put("format.json", b'{"format":9}')
    with pytest.raises(StoreError, match="newer textinv"):
        registry.resolve(ConceptRef("robot"))


def test_a_copy_is_published_once_with_all_its_files(registry: Registry, publish: Publish) -> None:
    published = publish(registry, "robot", 7)
    target = Registry(MemoryStore())
    for _ in range(2):
        copied = copy_concept(registry, target, ConceptRef("robot"))
        assert (copied.name, copied.version, copied.digest) == ("robot", 1, published.digest)
    assert target.finished("spec-robot-7") is not None
    entry = target.entry("robot", 1)
    assert target.store.get(entry.artifacts["preview.png"].key).body == b"picture 7"
    renamed = copy_concept(registry, target, ConceptRef("robot", 1), "android")
    assert target.resolve(ConceptRef("android")).embedding == renamed.embedding
    assert list(target.verify()) == []


def test_changed_bytes_in_a_run_are_found_when_they_are_used(
    registry: Registry, publish: Publish, store: ObjectStore
) -> None:
    published = publish(registry, "robot", 1)
    key = f"runs/{published.run_id}/embedding.safetensors"
    damaged = bytearray(store.get(key).body)
    damaged[-1] ^= 1
    store.put(key, bytes(damaged))
    with pytest.raises(CorruptObjectError, match=r"embedding\.safetensors"):
        registry.resolve(ConceptRef("robot", 1))


def test_changed_bytes_in_a_head_are_found_when_they_are_used(
    registry: Registry, publish: Publish, store: ObjectStore
) -> None:
    publish(registry, "robot", 1)
    publish(registry, "other", 2)
    other, own = store.get("heads/other@r1.json").body, store.get("heads/robot@r1.json").body
    swapped = own.split(b'"embedding":"')[0] + b'"embedding":"' + other.split(b'"embedding":"')[1]
    store.put("heads/robot@r1.json", swapped)
    with pytest.raises(CorruptObjectError, match=r"heads/robot@r1\.json"):
        registry.resolve(ConceptRef("robot"))
    store.put("heads/robot@r1.json", b"{}")
    with pytest.raises(CorruptObjectError, match=r"heads/robot@r1\.json"):
        registry.resolve(ConceptRef("robot"))
