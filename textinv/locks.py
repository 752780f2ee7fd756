"""Locks that say whether a process lives, or that let only one process at a time do something.

A process holds an exclusive lock on a file as long as it lives, because the open file is its own or was handed down to
it; so whoever looks needs to believe no process id that was written down. Owns taking such locks, and looking.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_TRIES, _TRY_S = 20, 0.05


def is_held(lock: Path) -> bool:
    """Whether some process holds the lock."""
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            # Shared, so that two who look at the same time do not take each other for the holder.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def try_lock(lock: Path) -> int | None:
    """The descriptor that holds the lock until it is closed everywhere; None when another process holds it."""
    descriptor = _open(lock)
    for _ in range(_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        if is_held(lock):
            break
        time.sleep(_TRY_S)  # somebody who only looks holds the lock for an instant
    os.close(descriptor)
    return None


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[int]:
    """Hold the lock, waiting for it; the descriptor may be handed down to a process that goes on holding it."""
    descriptor = _open(lock)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(lock: Path) -> int:
    return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
