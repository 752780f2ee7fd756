"""A store that can be down: while it is, whatever is asked of it fails; or hang: then it waits."""

import threading
from collections.abc import Iterator

from textinv.errors import StoreUnreachableError
from textinv.store.memory import MemoryStore
from textinv.store.protocol import BINARY, ObjectInfo, StoredObject


class UnsteadyStore(MemoryStore):
    """Objects in memory, within reach or not; answers wait for `may_answer`."""

    is_down = False
    num_refused = 0

    def __init__(self) -> None:
        super().__init__()
        self.may_answer = threading.Event()
        self.may_answer.set()

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
        self.may_answer.wait(60)
        if self.is_down:
            self.num_refused += 1
            raise StoreUnreachableError("the store is down")
