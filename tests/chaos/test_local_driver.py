"""The driver of `textinv submit` on this machine is killed in mid-job; submitting again goes on where it was."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.user import CommandLine, wait_until, write_manifest
from textinv.jobs import JobStore
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings
from textinv.store import S3Store

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(500)]


@pytest.fixture
def command_line(tmp_path: Path, s3_settings: StoreSettings) -> Iterator[CommandLine]:
    line = CommandLine(Settings(home=tmp_path / "home", store=s3_settings))
    yield line
    line.end()


def test_a_driver_killed_in_mid_job_costs_no_finished_concept_and_unfinished_ones_resume(
    command_line: CommandLine, tmp_path: Path, s3_store: S3Store
) -> None:
    registry, job_store, manifest = Registry(s3_store), JobStore(s3_store), write_manifest(tmp_path)
    options = ("--threads-per-worker", "1")
    submitted = command_line.run("submit", str(manifest), *options)
    assert submitted["counts"] == {"new": 4, "changed": 0, "done": 0}
    wait_until(lambda: len(registry.finished_fingerprints()) >= 2 and len(job_store.checkpoints()) >= 2)
    finished = registry.finished_fingerprints()
    pid = command_line.driver.driver_pid()
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    again = command_line.run("submit", str(manifest), "--follow", *options)
    assert again["job"] == submitted["job"]
    assert again["uploaded"] == 0
    assert again["counts"]["done"] >= len(finished)
    assert again["status"]["state"] == "done"
    done = [line for line in job_store.log(submitted["job"]).splitlines() if ": done (version 1)" in line]
    assert len({line.split()[2] for line in done}) == len(done)
    for summary in registry.list():
        found = registry.resolve(ConceptRef(summary.name, None))
        assert [version.version for version in registry.versions(summary.name)] == [1]
        assert found.record["sample_passes"] == found.record["steps"] in (10, 20, 300)
    assert len(list(registry.list())) == 4
    wait_until(lambda: not command_line.driver.has_driver() and not list(command_line.ray.orphans()), 30.0)
