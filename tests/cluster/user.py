"""A user at the command line, with a home folder of their own, and a manifest of four concepts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from cluster.driver.local_ray import LocalRay
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings, environment_of

ROOT = Path(__file__).resolve().parents[2]


class CommandLine:
    """The command line of a user with a home folder of their own."""

    def __init__(self, settings: Settings) -> None:
        self.driver, self.ray = HomeDriver(settings.home), LocalRay(settings.home)
        # Threads that wait for each other in a busy loop are slow on a machine that does other things too.
        self._environment = os.environ | environment_of(settings) | {"OMP_NUM_THREADS": "1"}
        self._environment.pop("RAY_AUTH_MODE", None)

    def run(self, *arguments: str) -> Any:
        """Run a command and return what it says as JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "textinv.cli", *arguments, "--json"],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        log = self.driver.log.read_text()[-3000:] if self.driver.log.exists() else ""
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log}"
        return json.loads(done.stdout)

    def end(self) -> None:
        """End the driver and its Ray."""
        pid = self.driver.driver_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        for orphan in list(self.ray.orphans()):
            os.kill(orphan, signal.SIGKILL)


def wait_until(is_so: Callable[[], bool], patience_s: float = 120.0) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.1)


def write_manifest(folder: Path, steps: Sequence[int] = (10, 20, 300, 300), scored: int = 100) -> Path:
    """A concept for each number of steps; those of fewer than `scored` are scored too, the others only learned."""
    data = ROOT / "tests" / "data" / "quickstart"
    concepts = [
        {"name": folder.name, "images": str(folder), "init": "ball", "max_steps": number, "evaluate": number < scored}
        for folder, number in zip(sorted(data.iterdir()), steps, strict=False)
    ]
    defaults = {"samples_per_step": 1, "stop": "fixed", "advanced": {"stop_every": 10, "stop_samples": 2}}
    path = folder / "four.yaml"
    path.write_text(yaml.safe_dump({"base_model": "emoji", "defaults": defaults, "concepts": concepts}))
    return path
