"""A cache bounded in bytes that forgets what was used longest ago.

Owns the bound and the order. Does not know what it holds; safe between threads.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class RecentlyUsed(Generic[Key, Value]):
    """A mapping that holds at most `max_bytes` by the sizes that `size_bytes` tells; a larger value is not kept."""

    def __init__(self, max_bytes: int, size_bytes: Callable[[Value], int]) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._size_bytes = size_bytes
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """Look up, and count as used now."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: Key, value: Value) -> None:
        """Remember, and forget the oldest until all fit."""
        with self._lock:
            self._forget(key)
            self._values[key] = value
            self.num_bytes += self._size_bytes(value)
            while self.num_bytes > self.max_bytes:
                self._forget(next(iter(self._values)))

    def drop(self, gone: Callable[[Key, Value], bool]) -> None:
        """Forget every value of which `gone` is true."""
        with self._lock:
            for key in [key for key, value in self._values.items() if gone(key, value)]:
                self._forget(key)

    def _forget(self, key: Key) -> None:
        value = self._values.pop(key, None)
        if value is not None:
            self.num_bytes -= self._size_bytes(value)
