"""`make bench-serve`: the engine and the service beside their anchors, on the demo base.

Parts, each of which can be run alone (`--parts mixed`), in some minutes; `concepts` may take a quarter of an hour:

  concepts   throughput of a batch of different concepts, against one concept; 1 to 100,000 stored
  cold       latency that a never-seen concept adds, against the embedded store
  mixed      pictures per second of clients with mixed concepts and step counts, against a Ray Serve replica that calls
             the diffusers pipeline per request; beside it what batching gains on the bare UNet
  latency    mean latency at 0.8 of the slower one's capacity, against `@serve.batch` run to completion
  clocked    the same by the processor's clock, without HTTP and whatever else the machine does
  alike      the same again, with the UNet of the anchor laid out in memory as ours is: what the scheduling alone brings
  overload   at twice the capacity: p99 of accepted requests, and how long a 429 takes

Prints a table and merges what was measured into `build/bench/serve.json`; ends with 1 when an answer of `overload` was
neither a picture nor a 429 that says when to come back (`Retry-After`). Systems are measured in turns, so that other
work on the machine slows all of them; ratios hold better than the figures themselves.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # as Ray sets it for replicas of one CPU

import torch
from serve_clients import quantile
from serve_clock import clocked_latency
from serve_concepts import cold_latencies, embedding_of, mix_costs, names_of, write_heads
from serve_http import Sizes, measure_latency, measure_overload, measure_throughput, running

from textinv.generation import Engine
from textinv.generation.request import Size
from textinv.models import BaseModel, load_base_model
from textinv.store import EmbeddedServer, connect_store

Measure = dict[str, Any]
# Of the service at twice its capacity: about what a picture of the sizes below takes itself.
_MAX_WAIT_S = 1.0


def main() -> int:
    """Run the parts that were asked for."""
    args = _parser().parse_args()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    model = load_base_model("emoji")
    knee, gain = measure_knee(model)
    print(f"{_device()}; knee of the bare UNet: {knee} pictures, {gain:.2f} x the throughput of one\n")
    print(f"{'measure':78}{'ours':>10}{'anchor':>10}{'ratio':>8}  goal")
    known = json.loads(args.output.read_text()) if args.output.exists() else {"parts": {}}
    failures: list[str] = []
    for part in args.parts:
        found = PARTS[part](model, knee, args.quick)
        known["parts"][part] = found | {
            "device": _device(),
            "knee": knee,
            "quick": args.quick,
            "load": os.getloadavg()[0],
        }
        for one in found["measures"]:
            print(_line(one), flush=True)
        failures += [f"{part}: {failure}" for failure in found.get("failures", [])]
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(known, indent=2))
    print(f"\nload of the machine (1 min): {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs; written to {args.output}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


def measure_knee(model: BaseModel, seconds: dict[int, float] | None = None) -> tuple[int, float]:
    """The engine's own measurement of the bare UNet: the knee, and its throughput over that of one picture.

    `seconds` collects the best of several measurements.
    """
    engine = Engine(model)
    engine.warm_up()
    size: Size = (model.native_px, model.native_px)
    found = engine.step_times.known_s[size]
    best = {n: min(found[n], (seconds or {}).get(n, found[n])) for n in found}
    if seconds is not None:
        seconds.update(best)
    knee = engine.step_times.batch_limit(size)
    return knee, best[1] * knee / best[knee]


def concepts(model: BaseModel, knee: int, quick: bool) -> Measure:
    """Throughput of different concepts in a batch against one concept."""
    counts = (1, 10, 1000) if quick else (1, 10, 1000, 100_000)
    steps, repeats = (4, 3) if quick else (5, 12)
    measures, details = [], {}
    for count in counts:
        costs = details[str(count)] = mix_costs(model, count, knee, steps, repeats)
        name = f"pictures/s, {knee} different concepts in the batch / one, {count} stored in memory"
        ours, anchor = knee / costs["different_s"], knee / costs["one_s"]
        measures.append(_measure(name, ours, anchor, "1/s", goal=">= 0.99"))
        spent = knee / costs["different_cpu_s"], knee / costs["one_cpu_s"]
        measures.append(_measure("  the same per second of the processor", *spent, "1/s", goal=">= 0.99"))
    sizes = {"batch": knee, "steps": steps, "repeats": repeats, "store": "MemoryStore, heads written by head_for"}
    return {"measures": measures, "sizes": sizes, "details": details}


def cold(model: BaseModel, knee: int, quick: bool) -> Measure:
    """Latency that a never-seen concept adds, against the embedded SeaweedFS."""
    count = 60 if quick else 400
    measures = []
    with tempfile.TemporaryDirectory(prefix="tibench-") as folder:
        server = EmbeddedServer(Path(folder))
        try:
            store = connect_store(server.up())
            write_heads(store, model, names_of(2 * count + 1))
            for drawing, names in ((False, names_of(count + 1)), (True, names_of(2 * count + 1)[count:])):
                found = cold_latencies(model, store, names, drawing)
                beside = "while a batch is drawn" if drawing else "while idle"
                for share, goal in ((0.5, "< 10"), (0.99, "< 50")):
                    times = (1000 * quantile(found["cold"], share), 1000 * quantile(found["warm"], share))
                    name = f"ms until a never-seen concept is at hand / a known one, p{share * 100:g}, {beside}"
                    measures.append(_measure(name, *times, "ms", goal=goal))
        finally:
            server.kill()
    return {"measures": measures, "sizes": {"concepts": count, "store": "embedded SeaweedFS"}}


def mixed(model: BaseModel, knee: int, quick: bool) -> Measure:
    """Pictures per second against a replica that calls the pipeline per request."""
    sizes = Sizes(16, (6, 10, 14), 16, 8.0, 1) if quick else Sizes(16, (6, 10, 14), 16, 14.0, 3)
    best: dict[int, float] = {}
    with running(model, sizes, knee, ["per-request"]) as bench:
        measure_knee(model, best)
        found = asyncio.run(measure_throughput(bench, sizes, lambda: _again(model, best)))
    gain = best[1] * knee / best[knee]
    ours, anchor = mean(found["ours"]), mean(found["per-request"])
    measures = [
        _measure(f"pictures/s of {sizes.clients} clients / a replica that draws one at a time", ours, anchor, "1/s"),
        _measure(
            f"  that ratio / what {knee} pictures at once gain on the bare UNet",
            ours / anchor,
            gain,
            "x",
            goal=">= 0.9",
        ),
    ]
    return {"measures": measures, "sizes": vars(sizes), "details": {"windows": found, "unet_s": best}}


def latency(model: BaseModel, knee: int, quick: bool) -> Measure:
    """Mean latency against `@serve.batch` run to completion."""
    clients = 2 * 3 * knee  # as many again as the largest batch of the anchor
    sizes = Sizes(16, (6, 10, 14), clients, 10.0, 1) if quick else Sizes(16, (6, 10, 14), clients, 50.0, 2)
    with running(model, sizes, knee, ["batched"]) as bench:
        found = asyncio.run(measure_latency(bench, sizes))
    means, capacities = found["mean_s"], found["capacities"]
    load = f"at {mean(found['loads']):.2f} of its capacity"
    measures = [
        _measure(f"mean s per picture / @serve.batch, {load}", means["ours"], means["batched"], "s", goal="<= 0.5"),
        _measure("  capacity in pictures/s, both at once", capacities["ours"], capacities["batched"], "1/s"),
    ]
    return {"measures": measures, "sizes": vars(sizes), "details": found}


def clocked(model: BaseModel, knee: int, quick: bool) -> Measure:
    """Mean latency by the processor's clock."""
    return _clocked(model, knee, quick, like_ours=False)


def alike(model: BaseModel, knee: int, quick: bool) -> Measure:
    """Mean latency by the processor's clock, with the anchor's UNet laid out in memory as ours."""
    return _clocked(model, knee, quick, like_ours=True)


def _clocked(model: BaseModel, knee: int, quick: bool, like_ours: bool) -> Measure:
    steps, num_requests = (6, 10, 14), 16 if quick else 120
    embeddings = {name: embedding_of(model, seed) for seed, name in enumerate(names_of(16))}
    found = clocked_latency(model, embeddings, steps, knee, num_requests, like_ours)
    anchor = "run to completion on the same UNet" if like_ours else "run to completion"
    name = f"mean processor s per picture / {anchor}, {found['per_s']:.2f} arrive per s"
    measures = [
        _measure(name, found["ours_s"], found["batched_s"], "s", goal="<= 0.5"),
        _measure("  capacity in pictures/s of both", found["ours_per_s"], found["batched_per_s"], "1/s"),
    ]
    return {"measures": measures, "sizes": {"steps": steps, "requests": num_requests}, "details": found}


def overload(model: BaseModel, knee: int, quick: bool) -> Measure:
    """What happens at twice the capacity."""
    sizes = Sizes(16, (4, 6, 8), knee, 6.0, 1) if quick else Sizes(16, (4, 6, 8), knee, 20.0, 2)
    with running(model, sizes, knee, [], max_wait_s=_MAX_WAIT_S) as bench:
        found = asyncio.run(measure_overload(bench, sizes))
    refused = f"{found['refused_at_2']} refused, {found['accepted_at_2']} accepted"
    measures = [
        _measure(
            "p99 s of accepted requests at 2 x capacity / at 1 x",
            found["p99_at_2"],
            found["p99_at_1"],
            "s",
            goal="<= 1.5",
        ),
        _measure(
            f"p50 ms of a 429 over HTTP / of /healthz beside it ({refused})",
            found["refusal_http_p50_ms"],
            found["trivial_http_p50_ms"],
            "ms",
        ),
        _measure("  p99 of both", found["refusal_http_p99_ms"], found["trivial_http_p99_ms"], "ms"),
        _measure(
            "  ms of a 429 inside the service, p99 / p50",
            found["inside_p99_ms"],
            found["inside_p50_ms"],
            "ms",
            goal="< 50",
        ),
        _measure(
            "  answers that are neither 200 nor 429 with Retry-After / all",
            len(found["others"]),
            found["num_answers"],
            "",
            goal="0",
        ),
    ]
    failures = []
    if found["others"]:
        statuses = sorted(set(found["others"]))
        failures.append(f"{len(found['others'])} answers had the statuses {statuses}, or 429 without Retry-After")
    sizes_of = vars(sizes) | {"max_wait_s": _MAX_WAIT_S}
    return {"measures": measures, "sizes": sizes_of, "details": found, "failures": failures}


PARTS: dict[str, Callable[[BaseModel, int, bool], Measure]] = {
    part.__name__: part for part in (concepts, cold, mixed, latency, clocked, alike, overload)
}


def _again(model: BaseModel, best: dict[int, float]) -> None:
    measure_knee(model, best)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="*", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all of it runs")
    parser.add_argument("--output", type=Path, default=Path("build/bench/serve.json"))
    return parser


def _measure(name: str, ours: float, anchor: float, unit: str, goal: str = "") -> Measure:
    ratio = ours / anchor if anchor else None
    return {"measure": name, "ours": ours, "anchor": anchor, "ratio": ratio, "unit": unit, "goal": goal}


def _line(one: Measure) -> str:
    ratio = "-" if one["ratio"] is None else f"{one['ratio']:.3f}"
    return f"{one['measure']:78}{one['ours']:10.3f}{one['anchor']:10.3f}{ratio:>8}  {one['goal']}"


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} thread"


if __name__ == "__main__":
    sys.exit(main())
