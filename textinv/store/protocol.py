"""What every object store does: the protocol that the registry, the queue and the services are written against.

Owns the value types, the protocol, the rule for keys, and what is done alike with any store: asking for its time, and
asking for many objects side by side. Knows neither S3 nor what the objects mean.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from textinv.errors import StoreError

BINARY = "application/octet-stream"
JSON = "application/json"
MAX_KEY_BYTES = 900
MAX_SEGMENT_BYTES = 255
_CLOCK_KEY = "index/clock"
_NUM_THREADS = 16
_CHUNK = 512  # requests that may be under way or waiting for the caller, which bounds memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class StoredObject(NamedTuple):
    """The bytes of an object and the opaque tag that changes with them."""

    body: bytes
    etag: str


class ObjectInfo(NamedTuple):
    """What a listing says about an object; `modified` is the store's clock, in UTC."""

    key: str
    size_bytes: int
    etag: str
    modified: datetime


@runtime_checkable
class ObjectStore(Protocol):
    """Objects by key, with writes that can be conditional on what is there.

    An ETag depends on the bytes alone: an object that goes from A to B and back to A has its old tag again, so every
    object that is swapped carries a counter in its body. Every method may raise `StoreUnreachableError`,
    `StoreCredentialsError` or `StoreError`.
    """

    def get(self, key: str) -> StoredObject:
        """Read an object.

        Raises:
            ObjectNotFoundError: there is none.
        """
        ...

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        """Read an object unless it still has `etag`; None says that it has.

        Raises:
            ObjectNotFoundError: there is none.
        """
        ...

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """Write an object whatever is there and return its ETag."""
        ...

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """Write an object that does not exist yet; finding exactly these bytes already there is success as well.

        Raises:
            StoreConflictError: it exists with other bytes.
        """
        ...

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        """Replace an object that still has `etag`; finding exactly these bytes already there is success as well.

        Raises:
            StoreConflictError: it has another tag, or is gone.
        """
        ...

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List the objects whose keys start with `prefix`, in order of their keys."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        ...

    def presign(self, key: str, expires_s: int, content_type: str | None = None, filename: str | None = None) -> str:
        """Make a URL that reads the object without credentials for `expires_s` seconds."""
        ...


def check_key(key: str) -> str:
    """Return `key` when every store keeps it as it is written.

    SeaweedFS treats keys as paths and hides `.uploads` and `*.versions` folders, AWS allows 1024 bytes with the prefix.

    Raises:
        StoreError: it is empty, too long, or a store would change or hide it.
    """
    segments = key.split("/")
    whole = len(key.encode()) <= MAX_KEY_BYTES and "\\" not in key and key.isprintable()
    if whole and all(map(_is_plain_segment, segments)):
        return key
    raise StoreError(f"{key!r} cannot be the key of an object: use short names joined by single slashes")


def _is_plain_segment(segment: str) -> bool:
    hidden = segment == ".uploads" or segment.endswith(".versions")
    return segment not in ("", ".", "..") and not hidden and len(segment.encode()) <= MAX_SEGMENT_BYTES


def server_time(store: ObjectStore) -> datetime:
    """The time by a store's own clock, which all its objects are dated by: this machine's may be wrong by any amount.

    It is asked for by writing an object and looking at its date.
    """
    store.put(_CLOCK_KEY, secrets.token_bytes(8))
    return next(info.modified for info in store.list(_CLOCK_KEY) if info.key == _CLOCK_KEY)


def side_by_side(do: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `do(item)` for each item, in order, with a few threads, as most of a request is waiting."""
    remaining = iter(items)
    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="textinv-store") as threads:
        while chunk := list(islice(remaining, _CHUNK)):
            yield from threads.map(do, chunk)
