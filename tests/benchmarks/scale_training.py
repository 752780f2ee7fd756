"""Crews of one and of two workers on a real Ray, beside the same training in one process without Ray."""

import os
import tempfile
import threading
import time
from pathlib import Path

import ray
import torch
from scale_jobs import put_job

from cluster.driver.options import DriverOptions
from cluster.driver.process import Starter, new_driver
from tests.cluster.conftest import make_spec
from textinv.demo import WEIGHTS
from textinv.jobs import JobStore
from textinv.models import base_revision, load_base_model
from textinv.plan.sources import fetch_pictures
from textinv.registry import Registry
from textinv.settings import Settings, StoreSettings
from textinv.spec import TrainSpec, image_key
from textinv.store import connect_store
from textinv.store.protocol import ObjectStore
from textinv.training import Work
from textinv.training.train import learn

SLOTS = 4


def plain_seconds(store: ObjectStore, num_concepts: int, max_steps: int) -> float:
    """Seconds for each concept with one thread and without Ray, the model and the pictures being loaded."""
    torch.set_num_threads(1)
    model = load_base_model(str(WEIGHTS), device="cpu", dtype="float32")
    specs = specs_of(store, num_concepts, max_steps, seed=0)
    works = [Work(spec, fetch_pictures(spec, lambda digest: store.get(image_key(digest)).body)) for spec in specs]
    begun = time.perf_counter()
    assert not learn(model, works, num_slots=SLOTS).errors
    return (time.perf_counter() - begun) / num_concepts


def crew_seconds(settings: StoreSettings, num_workers: int, num_concepts: int, max_steps: int) -> float:
    """Seconds for each concept, from when every worker has work until the last is published; Ray must be running."""
    registry = Registry(connect_store(settings))
    fleet, earlier = f"bench-{num_workers}", len(registry.finished_fingerprints())
    record = put_job(registry.store, specs_of(registry.store, num_concepts, max_steps, seed=num_workers), fleet, fleet)
    options = DriverOptions(workers=num_workers, threads_per_worker=1, num_slots=SLOTS)
    starter = Starter(fleet, settings, Settings(device="cpu"), options, f"{os.environ['RAY_TMPDIR']}/train")
    driver = new_driver(settings, starter)
    stop, job_store = threading.Event(), JobStore(registry.store)
    thread = threading.Thread(target=driver.serve, args=(stop, None), daemon=True)
    thread.start()
    while sum(bool(worker["concepts"]) for worker in driver.status()["workers"]) < num_workers:
        time.sleep(0.02)
    begun, left = time.perf_counter(), num_concepts + earlier - len(registry.finished_fingerprints())
    while record.id in job_store.open_jobs():
        time.sleep(0.05)
    seconds = time.perf_counter() - begun
    status = job_store.status(record.id)
    assert status is not None
    assert status.done == num_concepts
    stop.set()
    thread.join(60.0)
    return seconds / left


def start_ray(num_cpus: int) -> Path:
    """Start a Ray of this process's own; its folder."""
    folder = Path(tempfile.mkdtemp(prefix="tibench-", dir="/tmp"))
    (folder / "ray").mkdir()
    os.environ["RAY_TMPDIR"] = str(folder)
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=num_cpus,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    return folder


def specs_of(store: ObjectStore, num_concepts: int, max_steps: int, seed: int) -> list[TrainSpec]:
    """Specs that nobody has trained; their pictures are in the store."""
    revision = base_revision("emoji")
    plain = [make_spec(store, number, max_steps, revision) for number in range(num_concepts)]
    return [
        spec.model_copy(update={"name": f"{spec.name}-of-{seed}", "seed": 1000 * seed + spec.seed}) for spec in plain
    ]
