"""A 24-concept job on a real Ray of several nodes and a real store, with a driver that can be killed."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.driver.options import DriverOptions
from tests.chaos.outcome import (
    CHECKPOINT_S,
    MAX_STEPS,
    NUM_CONCEPTS,
    NUM_SLOTS,
    SMALL,
    Unharmed,
    check_each_concept_once,
    check_nothing_is_left,
    passes_between_checkpoints,
    train_unharmed,
    works_of,
)
from tests.cluster.conftest import make_job, revision
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.fleet import StoredFleet
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.store import MemoryStore, S3Store

__all__ = ["make_job", "revision"]
FLEET = "fleet-of-tests"
ROOT = Path(__file__).resolve().parents[2]
MakeJob = Callable[..., JobRecord]


@dataclass
class Fleet:
    """Drivers on a Ray of a head without CPUs and some nodes of one CPU each, and the job that they serve."""

    cluster: Any
    nodes: list[Any]
    store: StoreSettings
    registry: Registry
    record: JobRecord
    folder: str
    unharmed: Unharmed
    drivers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def job_store(self) -> JobStore:
        return JobStore(self.registry.store)

    def start_driver(self) -> None:
        """Start a driver as a process of its own; its workers have one thread each."""
        options = DriverOptions(
            workers=len(self.nodes),
            crew_size=len(self.nodes),
            threads_per_worker=1,
            num_slots=NUM_SLOTS,
            lease_s=10.0,
            checkpoint_every_s=CHECKPOINT_S,
        )
        settings = Settings(home=Path(self.folder) / "home", store=self.store, device="cpu")
        changes = {"RAY_ADDRESS": self.cluster.address, "TMPDIR": self.folder, "OMP_NUM_THREADS": "1"}
        arguments = ["--on-cluster", FLEET, "--options", options.model_dump_json()]
        with open(f"{self.folder}/driver.log", "ab") as log:
            self.drivers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "cluster.driver.process", *arguments],
                    cwd=ROOT,
                    env=os.environ | environment_of(settings) | changes,
                    stdout=log,
                    stderr=log,
                )
            )

    def kill_driver(self) -> None:
        self.drivers[-1].kill()
        self.drivers[-1].wait()

    def status(self) -> dict[str, Any]:
        return StoredFleet(self.registry.store, FLEET).status()

    def workers(self) -> list[dict[str, Any]]:
        """The workers that have leases, as the driver last saw them."""
        return [worker for worker in self.status().get("workers", ()) if worker["concepts"]]

    def wait_for_workers(self) -> None:
        """Wait until every worker has something to do, and then a moment of random length."""
        self.wait_until(lambda: len(self.workers()) == len(self.nodes))
        time.sleep(random.uniform(0.3, 2.5))
        assert not self.is_over, "the job is over before anything was killed"

    def wait_until(self, is_so: Callable[[], object], patience_s: float = 150.0) -> float:
        """Wait; the seconds that it took."""
        begun = time.monotonic()
        while not is_so():
            assert time.monotonic() - begun < patience_s, f"it takes too long\n{self.log()}"
            time.sleep(0.1)
        return time.monotonic() - begun

    def log(self) -> str:
        return self.job_store.log(self.record.id) + Path(f"{self.folder}/driver.log").read_text()[-3000:]

    @property
    def is_over(self) -> bool:
        return self.record.id not in self.job_store.open_jobs()

    def finish(self, num_killed_workers: int, repeated_elsewhere: int = 0) -> None:
        """Wait for the job's end; then nothing is lost, nothing was done twice, and little again."""
        seconds = self.wait_until(lambda: self.is_over, 300.0)
        status = self.job_store.status(self.record.id)
        assert status is not None
        assert (status.state, status.done) == ("done", NUM_CONCEPTS), self.log()
        time.sleep(1.5)  # the fleet's status follows within a second
        repeated = self.status()["repeated_passes"] + repeated_elsewhere
        records = check_each_concept_once(self.registry, self.unharmed)
        allowed = num_killed_workers * NUM_SLOTS * passes_between_checkpoints(records)
        swept = check_nothing_is_left(self.registry)
        facts = {"rest_s": round(seconds, 1), "repeated": repeated, "allowed": allowed, "swept": swept}
        print(json.dumps(facts))
        assert repeated <= allowed, self.log()


@pytest.fixture(scope="session")
def unharmed(emoji: BaseModel, make_job: MakeJob) -> Unharmed:
    """What the job's concepts learn when nobody dies."""
    job_store = JobStore(MemoryStore())
    record = make_job(job_store.store, NUM_CONCEPTS, MAX_STEPS, **SMALL)
    return train_unharmed(emoji, works_of(job_store, record))


@pytest.fixture
def start_fleet(
    s3_settings: StoreSettings,
    s3_store: S3Store,
    make_job: MakeJob,
    unharmed: Unharmed,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[int], Fleet]]:
    """Starts a Ray cluster of so many one-CPU nodes beside the head, a job and its driver."""
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="tichaos-", dir="/tmp")
    os.mkdir(f"{folder}/ray")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    # While a crew lacks a node, Ray's control plane fills two cores, and workers of nice 15 get nothing beside it.
    monkeypatch.setenv("RAY_worker_niceness", "0")
    for name, value in environment_of(Settings(store=s3_settings)).items():  # nodes have the store's keys of their own
        monkeypatch.setenv(name, value)
    fleets: list[Fleet] = []

    def start(num_nodes: int) -> Fleet:
        small = {"object_store_memory": 80 * 2**20}
        record = make_job(s3_store, NUM_CONCEPTS, MAX_STEPS, **SMALL)
        cluster = Cluster(
            initialize_head=True, connect=False, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
        )
        nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(num_nodes)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        fleets.append(Fleet(cluster, nodes, s3_settings, Registry(s3_store), record, folder, unharmed))
        fleets[-1].start_driver()
        return fleets[-1]

    yield start
    for fleet in fleets:
        for driver in fleet.drivers:
            driver.kill()
            driver.wait()
        ray.shutdown()
        fleet.cluster.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def kill(pid: int) -> None:
    """End a process as the kernel would."""
    os.kill(pid, signal.SIGKILL)
