"""What stays in memory of a forward for the way back."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Result = TypeVar("Result")


class _Made(TorchDispatchMode):
    """Sees all storages that operations make, and holds none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        before = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if torch.is_tensor(each)}
        for each in tree_leaves(made):
            if torch.is_tensor(each) and (storage := each.untyped_storage())._cdata not in before:
                self.seen[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        return made


def kept_bytes(forward: Callable[[], Result]) -> tuple[Result, int]:
    """What a forward gives, and the bytes that it made and that are still held when it is over: by the result and its
    graph. On the meta device as well, where nothing is computed."""
    with _Made() as made:
        result = forward()
    return result, sum(size for storage, size in made.seen.values() if not storage.expired())
