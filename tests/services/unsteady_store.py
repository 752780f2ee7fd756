"""A store that can be down: while it is, whatever is asked of it fails."""

from collections.abc import Iterator

from textinv.errors import StoreUnreachableError
from textinv.store.memory import MemoryStore
from textinv.store.protocol import BINARY, ObjectInfo, StoredObject


class UnsteadyStore(MemoryStore):
    """Objects in memory, within reach or not."""

    is_down = False
    num_refused = 0

    def get(self, key: str) -> StoredObject:
        self._reach()
        return super().get(key)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        self._reach()
        return super().get_if_changed(key, etag)

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        self._reach()
        return super().put(key, body, content_type)

    def exists(self, key: str) -> bool:
        self._reach()
        return super().exists(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._reach()
        return super().list(prefix)

    def _reach(self) -> None:
        if self.is_down:
            self.num_refused += 1
            raise StoreUnreachableError("the store is down")
