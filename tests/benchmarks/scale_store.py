"""A store that counts what is asked of it, for the simulator."""

from collections import Counter
from collections.abc import Iterable, Iterator

from textinv.store.protocol import BINARY, ObjectInfo, ObjectStore, StoredObject


class CountingStore:
    """Passes everything on to another store; `requests` counts by operation and first part of the key."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.requests: Counter[str] = Counter()

    def get(self, key: str) -> StoredObject:
        self._count("get", key)
        return self._store.get(key)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        self._count("get", key)
        return self._store.get_if_changed(key, etag)

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        self._count("put", key)
        return self._store.put(key, body, content_type)

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        self._count("create", key)
        return self._store.create(key, body, content_type)

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        self._count("swap", key)
        return self._store.swap(key, body, etag, content_type)

    def exists(self, key: str) -> bool:
        self._count("head", key)
        return self._store.exists(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for number, info in enumerate(self._store.list(prefix)):
            if number % 1000 == 0:  # a page
                self._count("list", prefix)
            yield info

    def delete(self, keys: Iterable[str]) -> None:
        doomed = list(keys)
        self._count("delete", doomed[0] if doomed else "")
        self._store.delete(doomed)

    def presign(self, key: str, expires_s: int, content_type: str | None = None, filename: str | None = None) -> str:
        return self._store.presign(key, expires_s, content_type, filename)

    def _count(self, operation: str, key: str) -> None:
        self.requests[f"{operation} {key.split('/')[0]}"] += 1
