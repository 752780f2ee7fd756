"""A manifest of thousands of concepts: what planning, listing and driving its job cost, on a real store."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image

from textinv.embedding import Embedding
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.layout import spec_sheet_key
from textinv.jobs.record import job_id, now, spec_sheets_of
from textinv.jobs.submission import submit_plan
from textinv.manifest import load_manifest
from textinv.plan import Plan, make_plan
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.settings import Settings, environment_of
from textinv.spec import TrainSpec
from textinv.store import connect_store
from textinv.store.protocol import ObjectStore

BASE = BaseFacts("revision-of-the-benchmark", 64)
FLEET = "fleet-of-the-benchmark"


@dataclass(frozen=True)
class JobCosts:
    """Seconds and bytes of jobs of some sizes."""

    first_plan_s: float
    plan_s: float
    """With every picture's digest in the cache, a tenth of the concepts published."""
    plan_cpu_s: float
    """Of it, what this process worked: the rest is the store, and other work on the machine."""
    submit_s: float
    """Of the smallest size: two requests for each picture."""
    ls_s: float
    driver_bytes: dict[int, int]


def job_costs(settings: Settings, sizes: list[int], log: Callable[[str], object] = print) -> JobCosts:
    """Measure the largest size, and a driver's memory at each."""
    folder = settings.home / "pictures"
    for number in range(max(sizes)):
        write_pictures(folder, number)
    registry = Registry(connect_store(settings.store))
    path = write_manifest(settings.home, folder, max(sizes))
    first_s, plan = timed(lambda: plan_of(path, registry, settings))
    log(f"first plan {first_s:.1f} s")
    publish_some(plan, registry, max(sizes) // 10)
    worked_s = time.process_time()
    plan_s, plan = timed(lambda: plan_of(path, registry, settings))
    plan_cpu_s = time.process_time() - worked_s
    assert plan.counts["done"] == max(sizes) // 10
    log(f"plan {plan_s:.1f} s")
    few = plan_of(write_manifest(settings.home, folder, min(sizes)), registry, settings)
    submit_s, _ = timed(lambda: submit_plan(few, registry, base_model="emoji", fleet=FLEET))
    log(f"submitted {min(sizes)} concepts in {submit_s:.1f} s")
    driver_bytes = {}
    for size in sizes:
        specs = [planned.spec for planned in plan.specs[:size]]
        record = put_job(registry.store, specs, FLEET, f"first {size}")
        here = str(Path(__file__).with_name("scale_driver.py"))
        driver_bytes[size] = int(run([sys.executable, here, record.id, FLEET], settings))
    ls_s, listed = timed(lambda: run([sys.executable, "-m", "textinv.cli", "job", "ls", "--json"], settings))
    assert len(json.loads(listed)) == 1 + len(sizes)
    return JobCosts(first_s, plan_s, plan_cpu_s, submit_s, ls_s, driver_bytes)


def write_pictures(folder: Path, number: int) -> None:
    """Three small pictures of a concept, of which no other has any."""
    place = folder / f"{number:05d}"
    place.mkdir(parents=True)
    for view in range(3):
        image = Image.new("RGB", (64, 64), (number % 251, number // 251 % 251, 80 * view))
        image.paste((255, 255, 255), (8 + 12 * view, 8, 24 + 12 * view, 24 + number % 32))
        body = io.BytesIO()
        image.save(body, "PNG", compress_level=1)
        (place / f"{view}.png").write_bytes(body.getvalue())


def write_manifest(home: Path, folder: Path, num_concepts: int) -> Path:
    """A manifest of the first so many concepts."""
    names = [f"{number:05d}" for number in range(num_concepts)]
    concepts = [{"name": f"c{name}", "images": str(folder / name), "init": "ball"} for name in names]
    path = home / f"of-{num_concepts}.yaml"
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    path.write_text(yaml.dump({"base_model": "emoji", "concepts": concepts}, Dumper=dumper))
    return path


def plan_of(path: Path, registry: Registry, settings: Settings) -> Plan:
    """Everything that a submission does before it uploads."""
    return make_plan(load_manifest(path), registry, settings=settings, base=BASE)


def publish_some(plan: Plan, registry: Registry, num_concepts: int) -> None:
    """Publish something for the last concepts of a plan."""
    embedding = Embedding({"text_encoder": torch.randn(1, 64)})

    def publish(number: int) -> None:
        planned = plan.specs[-1 - number]
        registry.publish(
            planned.spec.name,
            embedding,
            {"steps": 1},
            fingerprint=planned.fingerprint,
            base_model="emoji",
            base_revision=BASE.revision,
        )

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, range(num_concepts)))


def put_job(store: ObjectStore, specs: Sequence[TrainSpec], fleet: str, name: str) -> JobRecord:
    """Open a job whose pictures are in the store already, or are not needed."""
    sheets = spec_sheets_of(specs)
    record = JobRecord(
        id=job_id(name, ((spec.name, spec.fingerprint) for spec in specs)),
        name=name,
        submitted=now(),
        fleet=fleet,
        base_model=specs[0].base_model,
        base_revision=specs[0].base_revision,
        num_concepts=len(specs),
        num_sheets=len(sheets),
    )
    for number, body in enumerate(sheets):
        store.put(spec_sheet_key(record.id, number), body)
    return JobStore(store).open(record)


def run(command: list[str], settings: Settings) -> str:
    """Run a command with these settings and return what it prints."""
    environment = os.environ | environment_of(settings)
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout


def timed(do: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that something takes, and what it returns."""
    begun = time.perf_counter()
    found = do()
    return time.perf_counter() - begun, found
