"""Locks that say whether a process lives.

A process holds an exclusive lock on a file as long as it lives, because the open file is its own or was handed down to
it; so whoever looks needs to believe no process id that was written down. Owns looking.
"""

import fcntl
from pathlib import Path


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
