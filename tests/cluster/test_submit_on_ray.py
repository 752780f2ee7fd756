"""`textinv submit` with a real local Ray, a real store and the real training, also when its driver is killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.places import LocalPlace, environment_of
from textinv.jobs import JobBook
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings
from textinv.store import S3Store

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(400)]
ROOT = Path(__file__).resolve().parents[2]


class CommandLine:
    """The command line of a user with a home folder of their own."""

    def __init__(self, settings: Settings) -> None:
        self.place = LocalPlace(settings.home)
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
        log = self.place.log.read_text()[-3000:] if self.place.log.exists() else ""
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{log}"
        return json.loads(done.stdout)

    def end(self) -> None:
        """End the driver and its Ray."""
        pid = self.place.driver_pid()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        for orphan in list(self.place.orphans()):
            os.kill(orphan, signal.SIGKILL)


@pytest.fixture
def command_line(tmp_path: Path, s3_settings: StoreSettings) -> Iterator[CommandLine]:
    line = CommandLine(Settings(home=tmp_path / "home", store=s3_settings))
    yield line
    line.end()


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Four concepts, the later ones longer."""
    data = ROOT / "tests" / "data" / "quickstart"
    concepts = [
        {"name": folder.name, "images": str(folder), "init": "ball", "max_steps": steps}
        for folder, steps in zip(sorted(data.iterdir()), (10, 20, 300, 300), strict=True)
    ]
    defaults = {"samples_per_step": 1, "stop": "fixed", "advanced": {"stop_every": 10, "stop_samples": 2}}
    path = tmp_path / "four.yaml"
    path.write_text(yaml.safe_dump({"base_model": "emoji", "defaults": defaults, "concepts": concepts}))
    return path


def wait_until(is_so: Callable[[], bool], patience_s: float = 120.0) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.1)


def test_a_driver_killed_in_mid_job_costs_no_finished_concept_and_unfinished_ones_resume(
    command_line: CommandLine, manifest: Path, s3_store: S3Store
) -> None:
    registry, book = Registry(s3_store), JobBook(s3_store)
    options = ("--threads-per-worker", "1")
    submitted = command_line.run("submit", str(manifest), *options)
    assert submitted["counts"] == {"new": 4, "changed": 0, "done": 0}
    wait_until(lambda: len(registry.finished_fingerprints()) >= 2 and len(book.checkpoints()) >= 2)
    finished = registry.finished_fingerprints()
    pid = command_line.place.driver_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    again = command_line.run("submit", str(manifest), "--follow", *options)
    assert again["job"] == submitted["job"]
    assert again["uploaded"] == 0
    assert again["counts"]["done"] >= len(finished)
    assert again["status"]["state"] == "done"
    done = [line for line in book.log(submitted["job"]).splitlines() if ": done (version 1)" in line]
    assert len({line.split()[2] for line in done}) == len(done)
    for summary in registry.list():
        found = registry.resolve(ConceptRef(summary.name, None))
        assert [version.version for version in registry.versions(summary.name)] == [1]
        assert found.record["sample_passes"] == found.record["steps"] in (10, 20, 300)
    assert len(list(registry.list())) == 4
    wait_until(lambda: not command_line.place.has_driver() and not list(command_line.place.orphans()), 30.0)

    third = command_line.run("submit", str(manifest), "--follow", *options)
    assert (third["counts"]["done"], third["driver_started"]) == (4, False)
    assert command_line.run("job", "ls")[0]["state"] == "done"
