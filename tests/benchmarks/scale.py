"""`make bench-scale`: what more workers bring, what Ray costs, and what large jobs cost whoever plans and drives them.

Training: the same concepts by one process without Ray, by a crew of one worker and by one of two, one thread each.
Simulator: leases per second of the queue, beside what a fleet of its size asks. Jobs: seconds to plan a manifest whose
pictures are known, `textinv job ls`, and the memory of a driver by the size of its job. Prints a table and writes
`build/bench/scale.json`.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.5")

from scale_fleet import Sizes
from scale_jobs import job_costs
from scale_simulator import simulate

from textinv.settings import Settings
from textinv.store import EmbeddedServer, MemoryStore, connect_store

PARTS = ("simulator", "jobs", "training")
PLAN_GOAL_S, LS_GOAL_S = 10.0, 5.0
Measure = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run the parts that are asked for; what an earlier run has measured of the others is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=PARTS)
    parser.add_argument("--concepts", type=int, default=16, help="concepts to train")
    parser.add_argument("--steps", type=int, default=20, help="steps of each")
    parser.add_argument("--simulated", type=int, default=100_000, help="concepts of the simulator, on 1,000 workers")
    parser.add_argument("--manifests", type=int, nargs="*", default=[1000, 5000, 10_000], help="concepts of manifests")
    parser.add_argument("--output", type=Path, default=Path("build/bench/scale.json"))
    args = parser.parse_args(arguments)
    known = json.loads(args.output.read_text()) if args.output.exists() else {"measures": []}
    measures = [one for one in known["measures"] if one["part"] not in args.parts]
    for part in args.parts:
        found = {"simulator": of_simulator, "jobs": of_jobs, "training": of_training}[part](args)
        measures += [{"part": part, "load_average": round(os.getloadavg()[0], 1), **one} for one in found]
    print_table(measures)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"measures": measures, "cpus": os.cpu_count()}, indent=2))
    return 0


def of_simulator(args: argparse.Namespace) -> list[Measure]:
    """The queue beside what is asked of it."""
    sizes = Sizes(concepts=args.simulated, workers=1000, training_s=60.0, publish_one_in=50)
    facts = simulate(sizes, MemoryStore())
    said = {"concepts": args.simulated, "workers": 1000, "slots": sizes.slots, "training_s": sizes.training_s}
    return [
        measure("leases of the queue, beside those asked", facts["leases_per_s"], facts["concepts_per_s"], "1/s", said),
        measure("memory of the queue per concept", facts["queue_bytes_per_concept"], None, "B", said),
    ]


def of_jobs(args: argparse.Namespace) -> list[Measure]:
    """A large manifest on a SeaweedFS of its own."""
    with tempfile.TemporaryDirectory(prefix="tiscale-") as folder:
        server = EmbeddedServer(Path(folder))
        try:
            costs = job_costs(Settings(home=Path(folder) / "home", store=server.up()), sorted(args.manifests))
        finally:
            server.kill()
    sizes = sorted(args.manifests)
    said = {"concepts": sizes[-1], "pictures": 3 * sizes[-1]}
    least = costs.driver_bytes[sizes[0]]
    return [
        measure("plan from cached digests, beside the goal", costs.plan_s, PLAN_GOAL_S, "s", said),
        measure("plan from cached digests, CPU seconds", costs.plan_cpu_s, PLAN_GOAL_S, "s", said),
        measure("plan for the first time", costs.first_plan_s, None, "s", said),
        measure("submission with its uploads", costs.submit_s, None, "s", {"concepts": sizes[0]}),
        measure("textinv job ls, beside the goal", costs.ls_s, LS_GOAL_S, "s", said),
        *(
            measure("peak memory of the driver", costs.driver_bytes[size], least, "B", {"concepts": size})
            for size in sizes
        ),
    ]


def of_training(args: argparse.Namespace) -> list[Measure]:
    """One process, one worker, two workers."""
    import ray
    from scale_training import SLOTS, crew_seconds, plain_seconds, start_ray

    said = {"concepts": args.concepts, "steps": args.steps, "slots": SLOTS, "threads": 1}
    with tempfile.TemporaryDirectory(prefix="tiscale-") as folder:
        server = EmbeddedServer(Path(folder))
        ray_folder = start_ray(num_cpus=2)
        try:
            settings = server.up()
            plain_s = plain_seconds(connect_store(settings), args.concepts, args.steps)
            seconds = {workers: crew_seconds(settings, workers, args.concepts, args.steps) for workers in (1, 2)}
        finally:
            ray.shutdown()
            server.kill()
            shutil.rmtree(ray_folder, ignore_errors=True)
    per_hour = {workers: 3600 / one for workers, one in seconds.items()}
    return [
        measure("concepts by two workers, beside one", per_hour[2], per_hour[1], "1/h", said),
        measure("concepts by one worker, beside no Ray", per_hour[1], 3600 / plain_s, "1/h", said),
        measure("overhead of Ray per concept, beside training", seconds[1] - plain_s, plain_s, "s", said),
    ]


def measure(name: str, ours: float, anchor: float | None, unit: str, sizes: dict[str, Any]) -> Measure:
    """One line."""
    ratio = ours / anchor if anchor else None
    return {"measure": name, "ours": ours, "anchor": anchor, "ratio": ratio, "unit": unit, "sizes": sizes}


def print_table(measures: Sequence[Measure]) -> None:
    """Print the lines."""
    print(f"{'':48}{'ours':>16}{'anchor':>16}{'ratio':>8}  unit  sizes")
    for one in measures:
        cells = [f"{one[name]:>{width},.2f}" if one[name] is not None else "-".rjust(width) for name, width in _WIDTHS]
        print(f"{one['measure']:48}{''.join(cells)}  {one['unit']:5} {one['sizes']}")


_WIDTHS = (("ours", 16), ("anchor", 16), ("ratio", 8))

if __name__ == "__main__":
    sys.exit(main())
