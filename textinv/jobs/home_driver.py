"""The driver that serves a home folder, as a process of this machine.

Owns the folder `<home>/cluster`, the lock that the driver holds as long as it lives, and its command line and
environment. A process id that was written down is never believed: only the lock says that a driver lives. Does not know
what a driver does, nor who starts one (`fleet_driver`).
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textinv.errors import ClusterError
from textinv.locks import is_held, try_lock
from textinv.processes import last_words, processes_with, runs_module
from textinv.settings import Settings, environment_of, variable_of

DRIVER_MODULE = "cluster.driver.process"
"""The program of a driver, as it is run: it lies in another room, and not in every installation."""


class HomeDriver:
    """The driver of a home folder, whether it lives or not."""

    def __init__(self, home: Path) -> None:
        self.home = home.absolute()
        self.folder = self.home / "cluster"
        self.log = self.folder / "driver.log"
        self._lock = self.folder / "driver.lock"
        self._state = self.folder / "driver.json"
        self.digest = hashlib.sha256(str(self.home).encode()).hexdigest()[:10]
        self.fleet = f"local-{self.digest}"

    def prepare(self) -> None:
        """Make the folder, for its owner only."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self) -> int | None:
        """Become the driver: the descriptor that holds the lock; None when there is a driver already."""
        self.prepare()
        return try_lock(self._lock)

    def has_driver(self) -> bool:
        """Whether a driver lives."""
        return is_held(self._lock)

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

    def driver_processes(self) -> set[int]:
        """The driver, and any process that is about to become it or to find that there is one."""
        holder = self.driver_pid()
        home = processes_with(variable_of("home"), str(self.home))
        return {pid for pid in home if runs_module(pid, DRIVER_MODULE)} | ({holder} if holder else set())

    def last_words(self) -> str:
        """The end of the driver's log."""
        return last_words(self.log)

    def command(self, options: str) -> list[str]:
        """The command line of a driver."""
        return [sys.executable, "-m", DRIVER_MODULE, "--options", options]

    def environment(self, settings: Settings, around: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a driver: these settings beside `around`.

        None: this process's environment, but nothing of the Ray that it may be part of, which hides GPUs from it too.

        Raises:
            ClusterError: this installation has no driver.
        """
        found = importlib.util.find_spec(DRIVER_MODULE.partition(".")[0])
        if found is None or found.origin is None:
            raise ClusterError("training needs the folder cluster/, which this installation lacks: run from a checkout")
        root = str(Path(found.origin).resolve().parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        around = _outside_ray() if around is None else around
        return {**around, **environment_of(settings), "PYTHONPATH": path}


def _outside_ray() -> dict[str, str]:
    mine = ((name, value) for name, value in os.environ.items() if not name.startswith("RAY_"))
    return {name: value for name, value in mine if value or not name.endswith("VISIBLE_DEVICES")}
