"""The process of a driver: `python -m cluster.driver.process`.

Owns its start, its Ray and its end. On this machine it starts a Ray of its own, and ends when there is nothing to do;
with `--on-cluster` it runs as a Ray job inside a cluster and stays. SIGTERM lets workers save what they have.
"""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from dataclasses import dataclass

import ray

from cluster.driver.crews import Crew
from cluster.driver.driver import Driver
from cluster.driver.local_ray import LocalRay
from cluster.driver.nodes import NodeWatch
from cluster.driver.options import DriverOptions
from cluster.driver.supervisor import start_supervisor
from cluster.driver.train_crew import CrewSize, TrainCrew
from cluster.queue.messages import BaseModelRef
from cluster.queue.on_ray import DriversQueue
from cluster.worker.config import PackSettings, WorkerConfig
from cluster.worker.meters import RayBoard, TimedStore
from textinv.errors import ClusterError, TextinvError
from textinv.jobs.cluster_driver import store_settings
from textinv.jobs.home_driver import HomeDriver
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings, load_settings
from textinv.store import connect_store

IDLE_S = 3.0
# Ray's least is about 75 MiB; nothing but messages passes through the object store.
_OBJECT_STORE_BYTES = 80 * 2**20
_LOG = logging.getLogger("textinv.driver")


@dataclass(frozen=True)
class Starter:
    """Starts crews on the Ray that this process is connected to."""

    fleet: str
    store: StoreSettings
    """What workers are told of the store; without keys they take those of their node."""
    settings: Settings
    options: DriverOptions
    storage_path: str

    def __call__(self, name: str, base: BaseModelRef, num_workers: int) -> Crew:
        """Start a crew."""
        options = self.options
        threads = options.threads_on(ray.nodes())
        pack = PackSettings(
            num_slots=options.num_slots,
            threads=threads,
            device=self.settings.device,
            compiled=options.compiled,
            lease_s=options.lease_s,
            checkpoint_every_s=options.checkpoint_every_s,
        )
        use_gpu = ray.cluster_resources().get("GPU", 0) >= 1 if options.use_gpu is None else options.use_gpu
        resources = {"CPU": float(threads)} | ({"GPU": 1.0} if use_gpu else {})
        encoders = tuple(str(folder.absolute()) for folder in self.settings.encoders)
        config = WorkerConfig(self.fleet, name, base, self.store, pack, self.settings.stated_base_models, encoders)
        return TrainCrew(config, CrewSize(num_workers, resources), self.storage_path)


def main() -> None:
    """Serve until there is nothing to do, or for good."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--options", type=DriverOptions.model_validate_json, default=DriverOptions())
    parser.add_argument("--on-cluster", metavar="FLEET", help="serve this fleet on the cluster that this job runs in")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    _heed_signals(stop)
    settings = load_settings().settings
    if not arguments.on_cluster:
        _take_environment(LocalRay(settings.home))
    try:
        if arguments.on_cluster:
            serve_on_cluster(settings, arguments.options, arguments.on_cluster, stop)
        else:
            serve_here(settings, arguments.options, stop)
    except TextinvError as error:
        _LOG.error("%s", error)
        sys.exit(1)


def _heed_signals(stop: threading.Event) -> None:
    """Stop when told to. `ray.init` puts a handler of its own in the place of this one, which exits at once."""
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: stop.set())


def _take_environment(local_ray: LocalRay) -> None:
    """Begin anew with the environment of this machine's Ray, which Ray reads when it is imported."""
    if os.environ.get("RAY_TMPDIR") != str(local_ray.folder):
        environment = os.environ | local_ray.environment()
        os.execve(sys.executable, [sys.executable, "-m", "cluster.driver.process", *sys.argv[1:]], environment)


def serve_here(settings: Settings, options: DriverOptions, stop: threading.Event) -> None:
    """Serve the local fleet, unless another driver does; jobs that come in while this one ends are served too."""
    here = HomeDriver(settings.home)
    while not stop.is_set():
        lock = here.lock()
        if lock is None:
            _LOG.info("another driver serves %s", here.home)
            return
        try:
            here.write_state(pid=os.getpid())
            _serve_here_once(settings, options, here.fleet, stop)
        finally:
            os.close(lock)
        if stop.is_set() or not _has_work(settings, here.fleet):
            return  # whoever stops a driver may stop the store next, and must not see it started anew


def _serve_here_once(settings: Settings, options: DriverOptions, fleet: str, stop: threading.Event) -> None:
    local_ray = LocalRay(settings.home)
    local_ray.prepare_folder()
    store = _reach_store(settings)
    if options.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = options.gpus
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            num_cpus=options.workers * options.threads_here,
            object_store_memory=_OBJECT_STORE_BYTES,
            log_to_driver=False,
            logging_level="WARNING",
        )
    except Exception as error:  # a start that takes Ray more than 30 s is a bare Exception of Ray's
        raise ClusterError(
            f"Ray does not start on this machine: {error}; if it is busy with other work, try again when it is not"
        ) from error
    _heed_signals(stop)
    try:
        _LOG.info("serving fleet %s", fleet)
        starter = Starter(fleet, store, settings, options, str(local_ray.folder / "train"))
        driver = new_driver(store, starter)
        driver.serve(stop, IDLE_S, revive_store=lambda: _reach_store(settings))
    finally:
        ray.shutdown()
        local_ray.end_orphans()  # some of Ray's processes take their time, or the next Ray would find them
        shutil.rmtree(local_ray.folder, ignore_errors=True)


def serve_on_cluster(settings: Settings, options: DriverOptions, fleet: str, stop: threading.Event) -> None:
    """Serve a fleet of the cluster that this process runs in, for good."""
    try:
        ray.init(address="auto", log_to_driver=True, logging_level="WARNING")
    except ConnectionError as error:
        raise ClusterError(f"this process runs in no Ray cluster: {error}") from error
    _heed_signals(stop)
    start_supervisor(fleet)
    storage_path = tempfile.mkdtemp(prefix="textinv-train-")
    starter = Starter(fleet, settings.store.without_keys(), settings, options, storage_path)
    new_driver(settings.store, starter).serve(stop, None)


def new_driver(store: StoreSettings, starter: Starter) -> Driver:
    """A driver on the Ray that this process is connected to."""
    board = RayBoard()
    return Driver(
        Registry(TimedStore(connect_store(store), board)),
        starter.fleet,
        lambda base: DriversQueue(starter.fleet, base, starter.options.lease_s),
        starter,
        settings=starter.options.fleet(ray.nodes()),
        board=board,
        nodes=NodeWatch(),
    )


def _reach_store(settings: Settings) -> StoreSettings:
    """How to reach the store; an embedded one that is started here is not marked as one of Ray's processes."""
    mark = os.environ.pop("RAY_TMPDIR", None)
    try:
        return store_settings(settings)
    finally:
        if mark is not None:
            os.environ["RAY_TMPDIR"] = mark


def _has_work(settings: Settings, fleet: str) -> bool:
    """Whether a job came in just before the lock was released, and its submitter still saw a driver."""
    from textinv.jobs import JobStore

    job_store = JobStore(connect_store(_reach_store(settings)))
    return any(job_store.load(job_id).fleet == fleet for job_id in job_store.open_jobs())


if __name__ == "__main__":
    main()
