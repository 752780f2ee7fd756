"""Processes of this machine: found again by an environment variable that they were started with, and what they said.

A process id that was written down is never believed: by the time it is read, it may be somebody else's. Linux only, as
all that is started on a person's own machine.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path


def processes_with(variable: str, value: str) -> Iterator[int]:
    """Processes, other than this one, that were started with this environment variable."""
    mark = f"{variable}={value}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        with suppress(OSError):
            if pid != os.getpid() and mark in (folder / "environ").read_bytes().split(b"\0"):
                yield pid


def runs_module(pid: int, module: str) -> bool:
    """Whether a process is `python -m module`."""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return (b"-m", module.encode()) in pairwise(words)
    return False


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    with suppress(OSError):
        os.kill(pid, 0)
        return not Path("/proc/self").exists()
    return False


def last_words(log: Path, num_lines: int = 12) -> str:
    """The last lines that a process wrote into its log before it died, or that there are none."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return "it left no log"
    return "\n".join([line for line in lines if line.strip()][-num_lines:]) or "it printed nothing"


def kill_processes_with(variable: str, value: str) -> None:
    """End all such processes by force."""
    for pid in processes_with(variable, value):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
