"""A fleet's driver runs as a job of a Ray cluster; when it is killed, its supervisor starts another one."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ray.job_submission import JobSubmissionClient

from tests.cluster.user import CommandLine, wait_until, write_manifest
from textinv.jobs import JobStore
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.store import S3Store, connect_store

pytestmark = [pytest.mark.chaos, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(500)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class HeadNode:
    """A Ray cluster of one node with a Jobs API, in a folder of its own."""

    def __init__(self, store: StoreSettings) -> None:
        """Its nodes have the keys of `store` in their environment."""
        self.folder = tempfile.mkdtemp(prefix="tihead-", dir="/tmp")
        os.mkdir(f"{self.folder}/ray")
        jobs_port = free_port()
        self.address = f"http://127.0.0.1:{jobs_port}"
        binaries = Path(sys.executable).parent
        environment = os.environ | environment_of(Settings(store=store))
        environment |= {
            "RAY_TMPDIR": self.folder,
            "RAY_AUTH_MODE": "disabled",
            "OMP_WAIT_POLICY": "PASSIVE",
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        }
        # The agent that takes jobs listens at a fixed port, which another Ray of this machine may have.
        ports = {"port": free_port(), "dashboard-port": jobs_port, "dashboard-agent-listen-port": free_port()}
        options = [*(f"--{name}={port}" for name, port in ports.items()), "--num-cpus=2", "--disable-usage-stats"]
        subprocess.run(
            [str(binaries / "ray"), "start", "--head", f"--object-store-memory={80 * 2**20}", *options],
            env=environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def processes(self, word: str = "") -> list[int]:
        """Processes of this cluster whose command line has this word."""
        mark, found = f"RAY_TMPDIR={self.folder}".encode(), []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes() and word.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def end(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture
def head(s3_settings: StoreSettings) -> Iterator[HeadNode]:
    node = HeadNode(s3_settings)
    yield node
    node.end()


@pytest.mark.parametrize("deleted", [False, True], ids=["killed", "killed and its job deleted"])
def test_a_killed_driver_of_a_cluster_is_replaced_though_nobody_submits(
    head: HeadNode, tmp_path: Path, s3_settings: StoreSettings, s3_store: S3Store, deleted: bool
) -> None:
    line = CommandLine(Settings(home=tmp_path / "home", store=s3_settings))
    registry, job_store, manifest = Registry(s3_store), JobStore(s3_store), write_manifest(tmp_path)
    options = ("--address", head.address, "--threads-per-worker", "1")
    made = line.run("submit", str(manifest), *options)
    assert made["driver_started"]
    wait_until(lambda: len(registry.finished_fingerprints()) >= 2 and len(job_store.checkpoints()) >= 2)
    assert not line.run("submit", str(manifest), *options)["driver_started"]
    for pid in head.processes("cluster.driver.process"):
        os.kill(pid, signal.SIGKILL)
    if deleted:
        client = JobSubmissionClient(head.address)
        (first,) = [job.submission_id for job in client.list_jobs() if job.submission_id]
        wait_until(lambda: client.get_job_status(first).is_terminal())
        assert client.delete_job(first)

    wait_until(lambda: made["job"] not in job_store.open_jobs(), 240.0)
    status = job_store.status(made["job"])
    assert status is not None
    assert status.state == "done"
    assert {summary.version for summary in registry.list()} == {1}
    assert len(registry.finished_fingerprints()) == 4
    assert not line.driver.has_driver()
    assert line.run("fleet", "status", "--address", head.address)["driver"]["running"]


def test_two_fleets_of_one_cluster_publish_into_a_store_each(
    head: HeadNode, tmp_path: Path, s3_settings: StoreSettings
) -> None:
    manifest, options = write_manifest(tmp_path, steps=(3, 4)), ("--threads-per-worker", "1")
    jobs, fleets = {}, set()
    for place, address in (("staging", head.address), ("prod", head.address.replace("127.0.0.1", "localhost"))):
        settings = s3_settings.model_copy(update={"prefix": f"{s3_settings.prefix}-{place}"})
        line = CommandLine(Settings(home=tmp_path / place, store=settings))
        made = line.run("submit", str(manifest), "--address", address, *options)
        assert made["driver_started"]
        jobs[place] = settings, made["job"]
        fleets.add(made["fleet"])
    assert len(fleets) == 2
    for settings, job in jobs.values():
        registry = Registry(connect_store(settings))
        job_store = JobStore(registry.store)
        wait_until(lambda store=job_store, job=job: job not in store.open_jobs(), 240.0)
        status = job_store.status(job)
        assert status is not None
        assert (status.state, status.done) == ("done", 2)
        assert [summary.version for summary in registry.list()] == [1, 1]
