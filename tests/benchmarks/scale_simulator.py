"""Thousands of workers and up to a million concepts in one process: what the queue, the registry and a store bear.

`python tests/benchmarks/scale_simulator.py --concepts 1000000 --workers 1000 --publish-one-in 20` runs a virtual fleet
(`scale_fleet.py`) to its end, checks that every concept was done and published once, and says what would give way first
in a real fleet of this size.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from scale_fleet import Fleet, Sizes
from scale_store import CountingStore

from textinv.jobs.sweep import sweep_jobs
from textinv.store import EmbeddedServer, MemoryStore, connect_store
from textinv.store.protocol import ObjectStore

ACTOR_CALLS_PER_S = 1300.0
"""That an actor answers, measured with Ray 2.60 on two cores."""
STORE_REQUESTS_PER_S = 320.0
"""Of SeaweedFS on the same two busy cores, measured with this simulator."""
WORKER_CALLS = ("take", "beat", "report", "finish")


def main(arguments: list[str] | None = None) -> int:
    """Run a simulation and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option in fields(Sizes):
        parser.add_argument(f"--{option.name.replace('_', '-')}", type=type(option.default), default=option.default)
    parser.add_argument("--store", choices=["memory", "seaweedfs"], default="memory")
    parser.add_argument("--output", type=Path)
    args = parser.parse_args(arguments)
    sizes = Sizes(**{option.name: getattr(args, option.name) for option in fields(Sizes)})
    facts = with_seaweedfs(sizes) if args.store == "seaweedfs" else simulate(sizes, MemoryStore())
    for name, value in facts.items():
        print(f"{name:28} {value}")
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(facts, indent=2))
    return 0


def with_seaweedfs(sizes: Sizes) -> dict[str, Any]:
    """Simulate on a SeaweedFS that is started for it."""
    with tempfile.TemporaryDirectory(prefix="tiscale-") as folder:
        server = EmbeddedServer(Path(folder))
        try:
            return simulate(sizes, connect_store(server.up()))
        finally:
            server.kill()


def simulate(sizes: Sizes, store: ObjectStore) -> dict[str, Any]:
    """Run a fleet to its end, check the outcome and measure."""
    counting, before = CountingStore(store), resident_bytes()
    fleet = Fleet(sizes, counting)
    fleet.fill()
    filled, fill_s = resident_bytes(), fleet.refill_s.pop()
    begun, cpu = time.perf_counter(), time.process_time()
    fleet.run()
    wall_s = time.perf_counter() - begun
    return {
        "sizes": asdict(sizes),
        "virtual_s": round(fleet.clock.now),
        "wall_s": round(wall_s, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "deaths": dict(fleet.deaths),
        "resumed": fleet.resumed,
        "fill_s": round(fill_s, 2),
        "queue_bytes_per_concept": round((filled - before) / sizes.concepts),
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        **_queue_facts(fleet),
        **_store_facts(fleet, counting, wall_s),
        **_check(fleet),
        **_limits(fleet, counting),
    }


def resident_bytes() -> int:
    """Memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _queue_facts(fleet: Fleet) -> dict[str, Any]:
    calls, seconds = fleet.queue.calls, fleet.queue.seconds
    begun = time.thread_time()
    view = fleet.queue.queue.view()
    return {
        "leases_per_s": round(fleet.sizes.concepts / sum(seconds.values())),
        "call_us": {name: round(1e6 * seconds[name] / calls[name], 1) for name in WORKER_CALLS},
        "calls_per_concept": {name: round(calls[name] / fleet.sizes.concepts, 2) for name in WORKER_CALLS},
        "view_ms": round(1e3 * (time.thread_time() - begun), 2),
        "queue_refill_s": [round(one, 2) for one in fleet.refill_s],
        "expiries": view.expiries,
        "repeated_passes": view.repeated_passes,
    }


def _store_facts(fleet: Fleet, store: CountingStore, wall_s: float) -> dict[str, Any]:
    requests = {name: number / fleet.sizes.concepts for name, number in sorted(store.requests.items())}
    return {
        "store_requests_per_concept": {name: round(number, 2) for name, number in requests.items() if number >= 0.005},
        "store_requests_per_s": round(sum(store.requests.values()) / wall_s),
    }


def _check(fleet: Fleet) -> dict[str, Any]:
    """See that nothing was lost and nothing done twice."""
    published = {
        fingerprint for fingerprint in fleet.done if int(fingerprint[:12], 16) % fleet.sizes.publish_one_in == 0
    }
    assert fleet.registry.finished_fingerprints() == published
    versions = [info.key for info in fleet.store.list("versions/")]
    assert len(versions) == len(published)
    assert all(key.endswith("/00000001.json") for key in versions)
    counts = fleet.queue.queue.view().jobs[0].counts
    assert counts["done"] == fleet.sizes.concepts
    swept = fleet.registry.gc(grace_s=0)
    late = sweep_jobs(fleet.registry, grace_s=0)
    runs = {info.key.split("/")[1] for info in fleet.store.list("runs/")}
    assert len(runs) == len(published)
    return {"published": len(published), "swept": len(swept.removed_keys), "late_checkpoints": len(late)}


def _limits(fleet: Fleet, store: CountingStore) -> dict[str, Any]:
    """What a real fleet of this size asks per second, as a part of what can be had; the greatest gives way first."""
    sizes, calls = fleet.sizes, fleet.queue.calls
    concepts_per_s = sizes.workers * sizes.slots / sizes.training_s
    asked = sum(calls[name] for name in WORKER_CALLS) / sizes.concepts * concepts_per_s
    requests = _requests_of_one(fleet, store) * concepts_per_s
    loads = {
        "queue actor": asked / ACTOR_CALLS_PER_S,
        "one SeaweedFS": requests / STORE_REQUESTS_PER_S,
    }
    return {
        "concepts_per_s": round(concepts_per_s, 1),
        "queue_calls_per_s": round(asked),
        "store_requests_per_s_asked": round(requests),
        "load": {name: round(load, 2) for name, load in loads.items()},
        "first_bottleneck": max(loads, key=loads.__getitem__),
    }


def _requests_of_one(fleet: Fleet, store: CountingStore) -> float:
    """Requests for one concept, those of publishing taken from the ones that were published."""
    per = {name: number / fleet.sizes.concepts for name, number in store.requests.items()}
    return sum(part if "checkpoints" in name else part * fleet.sizes.publish_one_in for name, part in per.items())


if __name__ == "__main__":
    sys.exit(main())
