"""What a forward and its way back hold in memory, counted on any device: on the meta device nothing is computed."""

import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Result = TypeVar("Result")


class Held(TorchDispatchMode):
    """Counts the bytes of all storages that operations make, as long as anything holds them, and holds none itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.most = 0
        """At once, so far."""
        self._seen: dict[int, weakref.ref[Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        before = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if torch.is_tensor(each)}
        for each in tree_leaves(made):
            if torch.is_tensor(each) and (storage := each.untyped_storage())._cdata not in before:
                self._add(storage)
        return made

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return

        def gone(_: object) -> None:
            del self._seen[key]
            self.now -= size

        self._seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.most = max(self.most, self.now)


def kept_bytes(forward: Callable[[], Result]) -> tuple[Result, int]:
    """What a forward gives, and the bytes that it made and that are still held when it is over: by the result and its
    graph."""
    with Held() as held:
        result = forward()
    return result, held.now
