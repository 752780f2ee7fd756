"""Where drivers run and what belongs to them on this machine.

Owns the folder `<home>/cluster`, the lock that a local driver holds as long as it lives, its Ray's folder, and the
names of fleets. A process id that was written down is never believed: only the lock says that a driver lives.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import signal
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textinv.errors import ClusterError
from textinv.settings import Settings, StoreSettings

_TRIES, _TRY_S = 20, 0.05


class LocalPlace:
    """The place of the local driver of a home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.folder = self.home / "cluster"
        self.log = self.folder / "driver.log"
        self._lock = self.folder / "driver.lock"
        self._state = self.folder / "driver.json"
        digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:10]
        self.fleet = f"local-{digest}"
        # Ray's sockets lie in here, and their paths may have 107 characters only.
        self.ray_folder = Path("/tmp") / f"textinv-{os.getuid()}-{digest}"

    def prepare(self) -> None:
        """Make the folder, for its owner only."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self) -> int | None:
        """Become the driver: the descriptor that holds the lock; None when there is a driver already."""
        self.prepare()
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(_TRIES):  # somebody who only looks holds the lock for an instant
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return descriptor
            time.sleep(_TRY_S)
        os.close(descriptor)
        return None

    def has_driver(self) -> bool:
        """Whether a driver lives."""
        if not self._lock.exists():
            return False
        with self._lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def write_state(self, **facts: Any) -> None:
        """Note facts about the driver for whoever looks."""
        draft = self._state.with_suffix(".new")
        draft.write_text(json.dumps(facts))
        draft.replace(self._state)

    def driver_pid(self) -> int | None:
        """The process id of the living driver."""
        if not self.has_driver():
            return None
        with contextlib.suppress(OSError, ValueError, KeyError):
            return int(json.loads(self._state.read_text())["pid"])
        return None

    def prepare_ray_folder(self) -> None:
        """Make the folder of this place's Ray, empty and private; what a dead driver's Ray left there is ended.

        Raises:
            ClusterError: somebody else has taken the folder.
        """
        with contextlib.suppress(FileExistsError):
            self.ray_folder.mkdir(mode=0o700)
        status = self.ray_folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise ClusterError(f"{self.ray_folder} is not a private folder of ours: remove it and try again")
        self.end_orphans()
        for entry in self.ray_folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        # Ray writes the address of its cluster into this folder, and fails when it is missing.
        (self.ray_folder / "ray").mkdir()

    def end_orphans(self) -> None:
        """End the processes of a Ray that was started here."""
        for pid in self.orphans():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def ray_environment(self) -> dict[str, str]:
        """The environment in which this place's Ray is started: quiet, found again by its folder, closed to others."""
        return {
            "RAY_TMPDIR": str(self.ray_folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            # Threads that wait in a busy loop made training 4 to 20 times slower on two cores with other work.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }

    def orphans(self) -> Iterator[int]:
        """Processes, other than this one, of a Ray that was started here."""
        mark = f"RAY_TMPDIR={self.ray_folder}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            pid = int(folder.name)
            with contextlib.suppress(OSError):
                if pid != os.getpid() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield pid


def cluster_fleet(address: str, store: StoreSettings) -> str:
    """The name of the fleet of a cluster that works for a store."""
    place = re.sub(r"[^a-z0-9]+", "-", address.lower()).strip("-")[-40:].strip("-")
    digest = hashlib.sha256(f"{store.endpoint_url} {store.bucket} {store.prefix}".encode()).hexdigest()
    return f"cluster-{place}-{digest[:8]}"


def store_settings(settings: Settings) -> StoreSettings:
    """How workers reach the store; the embedded one is started when none is configured."""
    from textinv.store import EmbeddedServer

    return settings.store if settings.store.endpoint_url else EmbeddedServer(settings.home).up()
