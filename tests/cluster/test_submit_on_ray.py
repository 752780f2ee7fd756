"""`textinv submit` with a real local Ray, a real store and the real training; `tests/chaos` kills its driver."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.user import CommandLine, wait_until, write_manifest
from textinv.jobs import JobStore
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings
from textinv.store import S3Store

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(400)]


@pytest.fixture
def command_line(tmp_path: Path, s3_settings: StoreSettings) -> Iterator[CommandLine]:
    line = CommandLine(Settings(home=tmp_path / "home", store=s3_settings))
    yield line
    line.end()


def test_a_submitted_job_is_learned_and_what_is_done_is_not_learned_again(
    command_line: CommandLine, tmp_path: Path, s3_store: S3Store, capsys: pytest.CaptureFixture[str]
) -> None:
    registry, manifest = Registry(s3_store), write_manifest(tmp_path, steps=(3, 4), scored=0)
    options = ("--follow", "--threads-per-worker", "1")
    first = command_line.run("submit", str(manifest), *options)
    assert first["counts"] == {"new": 2, "changed": 0, "done": 0}
    assert (first["driver_started"], first["status"]["state"]) == (True, "done")
    log = JobStore(s3_store).log(first["job"])
    assert len([line for line in log.splitlines() if ": done (version 1)" in line]) == 2
    assert {summary.version for summary in registry.list()} == {1}
    assert list(registry.verify()) == []

    wait_until(lambda: not command_line.driver.has_driver() and not list(command_line.ray.orphans()))
    assert not command_line.ray.folder.exists()
    again = command_line.run_here(capsys, "submit", str(manifest), *options)
    assert (again["job"], again["uploaded"]) == (first["job"], 0)
    assert (again["counts"]["done"], again["driver_started"]) == (2, False)
    assert command_line.run_here(capsys, "job", "ls")[0]["state"] == "done"
