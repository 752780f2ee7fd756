"""The cache of embeddings over a real registry."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, StoreUnreachableError, UnknownConceptError
from textinv.generation.cache import EmbeddingCache, RecentlyUsed
from textinv.generation.prompts import check_mounts, used_concepts
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry
from textinv.store import MemoryStore, StoredObject


class Shop(MemoryStore):
    """A store that counts its reads, can be slow, and can be down."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0
        self.asks = 0
        self.looks = 0
        self.down = False
        self.gate = threading.Event()
        self.gate.set()

    def get(self, key: str) -> StoredObject:
        self._visit()
        self.gets += 1
        return super().get(key)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        self._visit()
        self.asks += 1
        return super().get_if_changed(key, etag)

    def exists(self, key: str) -> bool:
        self._visit()
        self.looks += 1
        return super().exists(key)

    def _visit(self) -> None:
        self.gate.wait(10)
        if self.down:
            raise StoreUnreachableError("the store at http://127.0.0.1:1 does not answer")


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(shop: Shop, clock: Clock) -> Iterator[EmbeddingCache]:
    cache = EmbeddingCache(Registry(shop), revalidate_s=3.0, clock=clock)
    yield cache
    cache.close()


FROG = ConceptRef("frog")


def _publish(shop: Shop, name: str, value: float, base_revision: str = "r1") -> PublishedVersion:
    embedding = Embedding({"text_encoder": torch.full((1, 192), value)})
    return Registry(shop).publish(
        name, embedding, {}, fingerprint=f"{name}-{value}", base_model="emoji", base_revision=base_revision
    )


def _version(cache: EmbeddingCache, ref: ConceptRef = FROG) -> int:
    return cache.resolve([ref])[ref].version


def test_a_concept_is_fetched_once_and_then_at_hand(shop: Shop, cache: EmbeddingCache) -> None:
    published = _publish(shop, "frog", 1.0)
    assert cache.resolve([FROG])[FROG].digest == published.digest
    gets = shop.gets
    assert _version(cache) == _version(cache, ConceptRef("frog", 1)) == 1
    assert shop.gets == gets
    assert (cache.tally.cold_loads, cache.tally.hits) == (1, 2)


def test_a_new_version_is_used_after_a_few_seconds(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    assert _version(cache) == 1
    _publish(shop, "frog", 2.0)
    assert _version(cache) == 1
    clock.now = 3.1
    assert _version(cache) == 2
    assert _version(cache, ConceptRef("frog", 1)) == 1


def test_an_unchanged_head_is_asked_for_and_not_fetched_again(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    _version(cache)
    gets = shop.gets
    for moment in (4.0, 5.0, 8.0):
        clock.now = moment
        _version(cache)
    assert shop.gets == gets
    assert shop.asks == 2


def test_a_version_is_never_fetched_again(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    pinned = ConceptRef("frog", 1)
    _version(cache, pinned)
    visits = shop.gets + shop.asks
    clock.now = 1e6
    assert _version(cache, pinned) == 1
    assert shop.gets + shop.asks == visits


def test_a_version_is_looked_for_again_every_few_seconds(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    pinned = ConceptRef("frog", 1)
    for moment in (0.0, 1.0, 4.0, 5.0, 8.0):
        clock.now = moment
        assert _version(cache, pinned) == 1
    assert (shop.looks, cache.tally.revalidations, cache.tally.hits) == (2, 2, 2)


def test_many_who_ask_at_once_share_one_flight(shop: Shop, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    shop.gate.clear()
    found: list[PublishedVersion] = []
    askers = [threading.Thread(target=lambda: found.append(cache.resolve([FROG])[FROG])) for _ in range(8)]
    for asker in askers:
        asker.start()
    shop.gate.set()
    for asker in askers:
        asker.join()
    assert len(found) == 8
    assert cache.tally.cold_loads == 1


def test_a_failed_fetch_fails_its_request_and_is_forgotten(shop: Shop, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    _publish(shop, "hat", 1.0)
    _version(cache)
    shop.down = True
    with pytest.raises(StoreUnreachableError):
        cache.resolve([FROG, ConceptRef("hat")])
    assert _version(cache) == 1
    shop.down = False
    assert _version(cache, ConceptRef("hat")) == 1


def test_a_known_head_is_used_on_while_the_store_is_down(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    _version(cache)
    shop.down = True
    clock.now = 100.0
    assert _version(cache) == 1


def test_a_store_that_hangs_delays_a_known_head_by_a_bound_and_only_once(shop: Shop) -> None:
    cache = EmbeddingCache(Registry(shop), revalidate_s=0.0, max_revalidation_s=0.3)
    _publish(shop, "frog", 1.0)
    assert _version(cache) == 1
    _publish(shop, "frog", 2.0)
    shop.gate.clear()
    began = time.monotonic()
    assert _version(cache) == 1
    assert 0.3 <= time.monotonic() - began < 5
    began = time.monotonic()
    assert {_version(cache) for _ in range(20)} == {1}
    assert time.monotonic() - began < 0.3
    shop.gate.set()
    while _version(cache) == 1:
        assert time.monotonic() - began < 5
        time.sleep(0.01)
    assert _version(cache) == 2
    cache.close()


def test_an_unknown_concept_is_named(shop: Shop, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    with pytest.raises(UnknownConceptError, match=r"frogg.*frog"):
        cache.resolve([ConceptRef("frogg")])
    with pytest.raises(UnknownConceptError, match="7"):
        cache.resolve([ConceptRef("frog", 7)])


def test_a_removed_concept_is_forgotten(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    _publish(shop, "frog", 1.0)
    _version(cache)
    Registry(shop).remove("frog")
    clock.now = 3.1
    with pytest.raises(UnknownConceptError):
        cache.resolve([FROG])


@pytest.mark.parametrize("first_asked_as", [FROG, ConceptRef("frog", 1)], ids=str)
def test_a_removed_concept_is_not_drawn_on_by_its_version(
    shop: Shop, clock: Clock, cache: EmbeddingCache, first_asked_as: ConceptRef
) -> None:
    _publish(shop, "frog", 1.0)
    _version(cache, first_asked_as)
    Registry(shop).remove("frog")
    for moment in (3.1, 3.2):
        clock.now = moment
        with pytest.raises(UnknownConceptError, match="frog"):
            cache.resolve([ConceptRef("frog", 1)])
    assert cache.num_bytes == 0


def test_all_versions_of_a_concept_are_forgotten_when_its_head_is_found_removed(
    shop: Shop, clock: Clock, cache: EmbeddingCache
) -> None:
    for value in (1.0, 2.0):
        _publish(shop, "frog", value)
    _publish(shop, "hat", 1.0)
    _version(cache)
    clock.now = 2.9
    assert _version(cache, ConceptRef("frog", 1)) == _version(cache, ConceptRef("hat", 1)) == 1
    Registry(shop).remove("frog")
    clock.now = 3.1
    for ref in (FROG, ConceptRef("frog", 1)):
        with pytest.raises(UnknownConceptError):
            cache.resolve([ref])
    shop.down = True
    assert _version(cache, ConceptRef("hat", 1)) == 1


def test_a_version_that_was_removed_alone_is_forgotten_alone(shop: Shop, clock: Clock, cache: EmbeddingCache) -> None:
    for value in (1.0, 2.0):
        _publish(shop, "frog", value)
    assert (_version(cache), _version(cache, ConceptRef("frog", 1))) == (2, 1)
    Registry(shop).remove("frog", 1)
    clock.now = 3.1
    with pytest.raises(UnknownConceptError, match="it has version 2"):
        cache.resolve([ConceptRef("frog", 1)])
    shop.down = True
    assert _version(cache) == 2


@pytest.mark.parametrize("first_asked_as", [FROG, ConceptRef("frog", 1)], ids=str)
def test_a_known_version_is_used_on_while_the_store_is_down(
    shop: Shop, clock: Clock, cache: EmbeddingCache, first_asked_as: ConceptRef
) -> None:
    _publish(shop, "frog", 1.0)
    _version(cache, first_asked_as)
    shop.down = True
    clock.now = 100.0
    assert _version(cache, ConceptRef("frog", 1)) == 1


def test_memory_is_bounded(shop: Shop) -> None:
    for number in range(6):
        _publish(shop, f"thing-{number}", float(number))
    small = EmbeddingCache(Registry(shop), max_bytes=3 * 5000)
    for number in range(6):
        _version(small, ConceptRef(f"thing-{number}"))
        assert small.num_bytes <= 3 * 5000
    small.close()
    assert small.num_bytes > 0


def test_a_concept_of_another_base_model_is_refused_with_both_names(shop: Shop, cache: EmbeddingCache) -> None:
    model = load_base_model("emoji", device="cpu", dtype="float32")
    foreign = _publish(shop, "frog", 1.0, base_revision="another")
    with pytest.raises(BaseModelMismatchError, match=r"emoji.*another") as caught:
        check_mounts(model, [FROG], {FROG: foreign})
    assert caught.value.details["learned_on"] == "emoji"
    own = replace(foreign, base_revision=model.revision)
    check_mounts(model, [FROG], {FROG: own})
    assert used_concepts([FROG], {FROG: own}) == {"frog@1": foreign.digest}


def test_a_bounded_cache_forgets_what_was_used_longest_ago() -> None:
    cache: RecentlyUsed[str, bytes] = RecentlyUsed(10, len)
    cache.put("a", b"1234")
    cache.put("b", b"1234")
    assert cache.get("a") == b"1234"
    cache.put("c", b"1234")
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.num_bytes == 8
    cache.put("huge", b"x" * 11)
    assert len(cache) == 0


def test_a_bounded_cache_forgets_what_it_is_told_to() -> None:
    cache: RecentlyUsed[str, bytes] = RecentlyUsed(10, len)
    for key in ("a", "b", "c"):
        cache.put(key, b"123")
    cache.drop(lambda key, value: key != "b" and value == b"123")
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (None, b"123", None)
    assert cache.num_bytes == 3
