"""A 12-concept job on a real Ray of several nodes and a real store, and what must be true of it in the end."""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from cluster.driver import Driver
from cluster.driver_process import new_driver
from cluster.options import DriverOptions
from tests.cluster.conftest import make_job, model, revision
from textinv.jobs import JobBook, JobRecord
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings
from textinv.store import S3Store

__all__ = ["make_job", "model", "revision"]
FLEET = "fleet-of-tests"
NUM_CONCEPTS, MAX_STEPS = 12, 40


@dataclass
class Fleet:
    """A driver in this process, on a Ray of one node without CPUs and some with one each."""

    cluster: Any
    nodes: list[Any]
    store: StoreSettings
    registry: Registry
    folder: str
    drivers: list[threading.Thread] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def book(self) -> JobBook:
        return JobBook(self.registry.store)

    def start_driver(self, workers: int) -> Driver:
        """Start a driver in a thread; workers have one thread each."""
        options = DriverOptions(
            workers=workers, threads_per_worker=1, num_slots=3, lease_s=12.0, checkpoint_every_s=2.0
        )
        driver = new_driver(Settings(device="cpu"), self.store, options, FLEET, f"{self.folder}/train")
        thread = threading.Thread(target=driver.serve, args=(self.stop, None), daemon=True)
        thread.start()
        self.drivers.append(thread)
        return driver

    def workers(self, driver: Driver) -> list[dict[str, Any]]:
        """The workers that have leases."""
        return [worker for worker in driver.status()["workers"] if worker["concepts"]]

    def wait_until(self, is_so: Callable[[], object], patience_s: float = 150.0) -> None:
        deadline = time.monotonic() + patience_s
        while not is_so():
            assert time.monotonic() < deadline, f"it takes too long\n{self.log()}"
            time.sleep(0.2)

    def log(self) -> str:
        return "\n".join(self.book.log(record.id) for record in self.book.jobs())

    def is_over(self, record: JobRecord) -> bool:
        return record.id not in self.book.open_jobs()

    def check_nothing_lost_nothing_twice(self, record: JobRecord) -> None:
        """Every concept has one version with all its steps, and the log says so once."""
        status = self.book.status(record.id)
        assert status is not None
        assert (status.state, status.done) == ("done", NUM_CONCEPTS), self.log()
        done = [line.split()[2] for line in self.log().splitlines() if ": done (version" in line]
        assert sorted(done) == sorted(set(done))
        assert len(self.registry.finished_fingerprints()) == NUM_CONCEPTS
        for number in range(NUM_CONCEPTS):
            name = f"concept-{number}"
            assert [version.version for version in self.registry.versions(name)] == [1]
            record_of_training = self.registry.resolve(ConceptRef(name, None)).record
            assert record_of_training["steps"] == MAX_STEPS
            assert record_of_training["sample_passes"] == 2 * MAX_STEPS
        assert list(self.registry.verify()) == []
        assert self.book.checkpoints() == set()


@pytest.fixture
def start_fleet(s3_settings: StoreSettings, s3_store: S3Store) -> Iterator[Callable[[int], Fleet]]:
    """Starts a Ray cluster of so many one-CPU nodes beside the head."""
    import ray
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="tichaos-", dir="/tmp")
    os.mkdir(f"{folder}/ray")
    before = os.environ.get("RAY_TMPDIR")
    os.environ["RAY_TMPDIR"] = folder
    fleets: list[Fleet] = []

    def start(num_nodes: int) -> Fleet:
        small = {"object_store_memory": 80 * 2**20}
        cluster = Cluster(
            initialize_head=True, connect=False, head_node_args={"num_cpus": 0, "include_dashboard": False, **small}
        )
        nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(num_nodes)]
        cluster.wait_for_nodes()
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        fleets.append(Fleet(cluster, nodes, s3_settings, Registry(s3_store), folder))
        return fleets[-1]

    yield start
    for fleet in fleets:
        fleet.stop.set()
        for thread in fleet.drivers:
            thread.join(30.0)
        ray.shutdown()
        fleet.cluster.shutdown()
    if before is None:
        del os.environ["RAY_TMPDIR"]
    else:
        os.environ["RAY_TMPDIR"] = before
    shutil.rmtree(folder, ignore_errors=True)


def kill(pid: int) -> None:
    """End a process as the kernel would."""
    os.kill(pid, signal.SIGKILL)
