"""What every object store does: the same tests against the store in memory and a real S3 server."""

import pickle
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from textinv.errors import ObjectNotFoundError, StoreConflictError, StoreError
from textinv.store import MemoryStore, ObjectStore, S3Store


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.store)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    if request.param == "memory":
        return MemoryStore()
    found: S3Store = request.getfixturevalue("s3_store")
    return found


def test_what_was_put_is_read_back_with_its_tag(store: ObjectStore) -> None:
    etag = store.put("a/b.bin", b"\x00bytes\xff")
    assert store.get("a/b.bin") == (b"\x00bytes\xff", etag)


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.exists("empty")
    assert store.get("empty").body == b""


def test_a_missing_object_is_named_in_the_error(store: ObjectStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="no/such"):
        store.get("no/such")
    with pytest.raises(ObjectNotFoundError):
        store.get_if_changed("no/such", '"tag"')
    assert not store.exists("no/such")


def test_an_unchanged_object_is_not_sent_again(store: ObjectStore) -> None:
    etag = store.put("head", b"1")
    assert store.get_if_changed("head", etag) is None
    newer = store.put("head", b"2")
    assert store.get_if_changed("head", etag) == (b"2", newer)


def test_an_object_is_created_once(store: ObjectStore) -> None:
    store.create("once", b"first")
    with pytest.raises(StoreConflictError, match="once"):
        store.create("once", b"second")
    assert store.get("once").body == b"first"


def test_creating_again_with_the_same_bytes_is_the_same_success(store: ObjectStore) -> None:
    assert store.create("once", b"same") == store.create("once", b"same")


def test_only_the_holder_of_the_current_tag_swaps(store: ObjectStore) -> None:
    old = store.put("head", b"1")
    new = store.swap("head", b"2", old)
    with pytest.raises(StoreConflictError):
        store.swap("head", b"3", old)
    assert store.get("head") == (b"2", new)


def test_swapping_to_what_is_already_there_is_success(store: ObjectStore) -> None:
    old = store.put("head", b"1")
    new = store.swap("head", b"2", old)
    assert store.swap("head", b"2", old) == new


def test_a_deleted_object_cannot_be_swapped(store: ObjectStore) -> None:
    etag = store.put("head", b"1")
    store.delete(["head"])
    with pytest.raises(StoreConflictError):
        store.swap("head", b"2", etag)
    assert not store.exists("head")


def test_of_many_creators_exactly_one_wins(store: ObjectStore) -> None:
    def create(number: int) -> bool:
        try:
            store.create("raced", b"%d" % number)
        except StoreConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(create, range(8)))
    assert Counter(won)[True] == 1
    assert store.get("raced").body == b"%d" % won.index(True)


def test_no_increment_is_lost_between_swappers(store: ObjectStore) -> None:
    store.put("counter", b"0")

    def increment() -> None:
        for _ in range(5):
            while True:
                body, etag = store.get("counter")
                try:
                    # The thread's name keeps two swappers' bytes apart.
                    number = int(body.split()[0]) + 1
                    store.swap("counter", b"%d %s" % (number, threading.current_thread().name.encode()), etag)
                    break
                except StoreConflictError:
                    continue

    threads = [threading.Thread(target=increment) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.get("counter").body.split()[0] == b"20"


def test_a_listing_comes_in_order_with_sizes_tags_and_times(store: ObjectStore) -> None:
    tags = {f"list/{number:02d}": store.put(f"list/{number:02d}", b"x" * number) for number in reversed(range(5))}
    store.put("lisp", b"not below the prefix")
    found = list(store.list("list/"))
    assert [info.key for info in found] == sorted(tags)
    assert [info.size_bytes for info in found] == list(range(5))
    assert {info.key: info.etag for info in found} == tags
    assert all(abs((datetime.now(UTC) - info.modified).total_seconds()) < 300 for info in found)


def test_a_listing_spans_pages(store: ObjectStore) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: store.put(f"many/{number:04d}", b"."), range(1050)))
    assert len(list(store.list("many/"))) == 1050
    store.delete(info.key for info in list(store.list("many/")))
    assert list(store.list("")) == []


def test_a_prefix_may_end_within_a_name(store: ObjectStore) -> None:
    for key in ("heads/cat.json", "heads/cats.json", "heads/dog.json"):
        store.put(key, b"{}")
    assert [info.key for info in store.list("heads/cat")] == ["heads/cat.json", "heads/cats.json"]


def test_deleting_what_is_missing_is_fine(store: ObjectStore) -> None:
    store.put("there", b"1")
    store.delete(["there", "never/there"])
    store.delete([])
    assert not store.exists("there")


@pytest.mark.parametrize(
    "key", ["", "/a", "a//b", "a/../b", "a/.", "a\\b", "a\nb", "x" * 300, "u/.uploads/x", "a.versions/b"]
)
def test_a_key_that_a_store_would_change_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(StoreError, match="cannot be the key"):
        store.put(key, b"1")


def test_a_presigned_url_needs_no_credentials(store: ObjectStore) -> None:
    store.put("file", b"content", "text/plain")
    url = store.presign("file", 60, "image/png", "picture.png")
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"content"
        assert answer.headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_large_and_small_objects_come_back_whole(store: ObjectStore, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    store.put("blob", body)
    assert store.get("blob").body == body


@pytest.mark.store
def test_an_s3_store_can_be_sent_to_another_process(s3_store: S3Store) -> None:
    s3_store.put("a", b"1")
    again: S3Store = pickle.loads(pickle.dumps(s3_store))
    assert again.get("a").body == b"1"


@pytest.mark.store
def test_two_prefixes_of_a_bucket_do_not_see_each_other(
    s3_store: S3Store, make_store: Callable[[str], S3Store]
) -> None:
    s3_store.put("mine", b"1")
    other = make_store("elsewhere/below")
    assert not other.exists("mine")
    assert list(other.list("")) == []
