"""Doing the same to many objects with a few threads, as most of a request is waiting."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

_NUM_THREADS = 16
_CHUNK = 512  # requests that may be under way or waiting for the caller, which bounds memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(do: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `do(item)` for each item, in order."""
    remaining = iter(items)
    with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="textinv-store") as threads:
        while chunk := list(islice(remaining, _CHUNK)):
            yield from threads.map(do, chunk)
