"""The Ray of a driver on this machine.

Owns the folder of that Ray, the environment in which it is started, and ending what is left of it. Does not know
the driver: its lock, its log and its state are `textinv.jobs.home_driver`'s.
"""

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from textinv.errors import ClusterError
from textinv.jobs.home_driver import HomeDriver
from textinv.processes import kill_processes_with, processes_with


class LocalRay:
    """The Ray of a home folder's driver."""

    def __init__(self, home: Path) -> None:
        # Ray's sockets lie in here, and their paths may have 107 characters only.
        self.folder = Path("/tmp") / f"textinv-{os.getuid()}-{HomeDriver(home).digest}"

    def prepare_folder(self) -> None:
        """Make the folder, empty and private; what a dead driver's Ray left there is ended.

        Raises:
            ClusterError: somebody else has taken the folder.
        """
        with contextlib.suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        status = self.folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise ClusterError(f"{self.folder} is not a private folder of this user: remove it and try again")
        self.end_orphans()
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)
        # Ray writes the address of its cluster into this folder, and fails when it is missing.
        (self.folder / "ray").mkdir()

    def end_orphans(self) -> None:
        """End the processes of a Ray that was started here."""
        kill_processes_with("RAY_TMPDIR", str(self.folder))

    def environment(self) -> dict[str, str]:
        """The environment in which this Ray is started: quiet, found again by its folder, closed to others."""
        return {
            "RAY_TMPDIR": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # Loopback only: what keeps Ray to itself on other systems does so here, where it would use all interfaces.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            # Threads that wait in a busy loop made training 4 to 20 times slower on two cores with other work.
            "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
        }

    def orphans(self) -> Iterator[int]:
        """Processes, other than this one, of a Ray that was started here."""
        return processes_with("RAY_TMPDIR", str(self.folder))
