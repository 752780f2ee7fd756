"""An object store in the memory of this process.

Passes the same contract suite as the S3 stores; used by the simulator and by tests that need no server. It is lost
with the process and never chosen by settings.
"""

import base64
import hashlib
import threading
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from textinv.errors import ObjectNotFoundError, StoreConflictError
from textinv.store.protocol import BINARY, ObjectInfo, StoredObject, check_key

_LAST = chr(0x10FFFF)
"""Sorts behind every character of a key."""


class _Entry(NamedTuple):
    body: bytes
    etag: str
    content_type: str
    modified: datetime


class MemoryStore:
    """Objects in a dictionary behind one lock; safe to share between threads."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._keys: list[str] = []
        """In order, so that what begins alike is found without a look at all."""
        self._lock = threading.Lock()

    def get(self, key: str) -> StoredObject:
        """Read an object."""
        entry = self._entry(key)
        return StoredObject(entry.body, entry.etag)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        """Read an object unless it still has `etag`."""
        entry = self._entry(key)
        return None if entry.etag == etag else StoredObject(entry.body, entry.etag)

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """Write an object whatever is there."""
        entry = _new_entry(body, content_type)
        with self._lock:
            self._keep(check_key(key), entry)
        return entry.etag

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """Write an object that does not exist yet."""
        return self._write_if(key, body, None, content_type)

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        """Replace an object that still has `etag`."""
        return self._write_if(key, body, etag, content_type)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        return check_key(key) in self._entries

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List objects in order of their keys, as they are when the first one is asked for."""
        with self._lock:
            first, end = bisect_left(self._keys, prefix), bisect_left(self._keys, prefix + _LAST)
            found = [(key, self._entries[key]) for key in self._keys[first:end]]
        for key, entry in found:
            yield ObjectInfo(key, len(entry.body), entry.etag, entry.modified)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        for key in keys:
            with self._lock:
                if self._entries.pop(check_key(key), None) is not None:
                    del self._keys[bisect_left(self._keys, key)]

    def presign(self, key: str, expires_s: int, content_type: str | None = None, filename: str | None = None) -> str:
        """Make a `data:` URL that holds the object itself; it does not expire."""
        entry = self._entry(key)
        return f"data:{content_type or entry.content_type};base64,{base64.b64encode(entry.body).decode()}"

    def _entry(self, key: str) -> _Entry:
        with self._lock:
            entry = self._entries.get(check_key(key))
        if entry is None:
            raise ObjectNotFoundError(f"there is no object {key!r} in the store in memory", key=key)
        return entry

    def _write_if(self, key: str, body: bytes, etag: str | None, content_type: str) -> str:
        entry = _new_entry(body, content_type)
        with self._lock:
            present = self._entries.get(check_key(key))
            if present is not None and present.body == entry.body:
                return present.etag
            if (present.etag if present else None) != etag:
                raise StoreConflictError(f"somebody else wrote {key!r} first", key=key)
            self._keep(key, entry)
        return entry.etag

    def _keep(self, key: str, entry: _Entry) -> None:
        if key not in self._entries:
            insort(self._keys, key)
        self._entries[key] = entry


def _new_entry(body: bytes, content_type: str) -> _Entry:
    tag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    return _Entry(bytes(body), f'"{tag}"', content_type, datetime.now(UTC))
