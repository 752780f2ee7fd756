"""Our service beside those that call the pipeline, over HTTP on one Ray of this machine, measured in turns."""

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import ray
import torch
from ray import serve
from ray.serve.config import HTTPOptions
from serve_clients import Order, Outcome, System, arrive, keep_asking, orders_of, probe, quantile, throughput
from serve_concepts import embedding_of, names_of, write_heads
from serve_systems import batched, per_request

from services.application import build
from services.config import ServiceConfig
from textinv.models import BaseModel
from textinv.store import EmbeddedServer, connect_store

_GPUS = 0.3 if torch.cuda.is_available() else 0.0


@dataclass(frozen=True)
class Sizes:
    """How much is measured: concepts, step counts, clients, seconds of a window, windows of each system."""

    concepts: int
    steps: tuple[int, ...]
    clients: int
    window_s: float
    windows: int


@dataclass(frozen=True)
class Bench:
    """What is running: URLs by system, and the concepts that all of them have."""

    systems: Mapping[str, System]
    concepts: Sequence[str]

    def orders(self, steps: Sequence[int], seed: int) -> Iterator[Order]:
        """Draw orders."""
        return orders_of(self.concepts, steps, seed)


@contextmanager
def running(
    model: BaseModel, sizes: Sizes, batch: int, anchors: Sequence[str], max_wait_s: float | None = None
) -> Iterator[Bench]:
    """Start a store, a Ray and the services, ours and the `anchors`; stop all of them in the end."""
    folder = Path(tempfile.mkdtemp(prefix="tibench-"))
    server = EmbeddedServer(folder / "home")
    os.environ |= {"RAY_TMPDIR": str(folder), "RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_LOG_TO_STDERR": "0"}
    try:
        store, names = server.up(), names_of(sizes.concepts)
        write_heads(connect_store(store), model, names)
        config = ServiceConfig(
            store=store,
            keys=False,
            max_batch=batch,
            max_wait_s=max_wait_s,
            num_gpus=_GPUS,
            dtype=_name_of(model.dtype),
        )
        applications: dict[str, Callable[[], Any]] = {
            "per-request": lambda: per_request(_rows_of(model, names), model.dtype, _GPUS),
            "batched": lambda: batched(_rows_of(model, names), model.dtype, _GPUS, batch),
        }
        url = _start_ray()
        for name in anchors:
            serve.run(applications[name](), name=name, route_prefix=f"/{name}")
        serve.run(build(config), name="ours", route_prefix="/")
        systems = {name: System("pipeline", f"{url}/{name}") for name in anchors} | {"ours": System("ours", url)}
        yield Bench(systems, names)
    finally:
        if ray.is_initialized():
            serve.shutdown()
            ray.shutdown()
        server.kill()
        shutil.rmtree(folder, ignore_errors=True)


async def measure_throughput(bench: Bench, sizes: Sizes, between: Callable[[], None]) -> dict[str, list[float]]:
    """Pictures per second of each system while clients ask all the time, in windows by turns."""
    found: dict[str, list[float]] = {name: [] for name in bench.systems}
    for window in range(sizes.windows):
        for name, system in bench.systems.items():
            await _warm(system, bench.orders(sizes.steps[:1], 1000 + window))
            began = time.perf_counter()
            outcomes = await keep_asking(system, bench.orders(sizes.steps, window), sizes.clients, sizes.window_s)
            _check(outcomes)
            found[name].append(throughput(outcomes, began, began + sizes.window_s))
        between()
    return found


async def measure_latency(bench: Bench, sizes: Sizes) -> dict[str, Any]:
    """Mean seconds per picture when requests arrive at 0.8 of the slower system's capacity, and both capacities."""
    capacities = {name: mean(values) for name, values in (await measure_throughput(bench, sizes, lambda: None)).items()}
    per_s = 0.8 * min(capacities.values())
    seconds: dict[str, list[float]] = {name: [] for name in bench.systems}
    for window in range(sizes.windows):
        for name, system in bench.systems.items():
            outcomes = await arrive(system, bench.orders(sizes.steps, 50 + window), per_s, sizes.window_s, window)
            _check(outcomes)
            seconds[name] += [one.seconds for one in outcomes]
    return {"capacities": capacities, "per_s": per_s, "mean_s": {name: mean(found) for name, found in seconds.items()}}


async def measure_overload(bench: Bench, sizes: Sizes) -> dict[str, float]:
    """What becomes of requests at once and twice the capacity: the p99 of those accepted, how the rest are refused."""
    system, steps = bench.systems["ours"], sizes.steps
    capacity = (await measure_throughput(bench, sizes, lambda: None))["ours"]
    found: dict[float, list[Outcome]] = {1.0: [], 2.0: []}
    trivial: list[float] = []
    for window in range(sizes.windows):
        for load, outcomes in found.items():
            over = asyncio.Event()
            probing = asyncio.create_task(probe(f"{system.url}/healthz", over, 0.1))
            work = arrive(system, bench.orders(steps, window), load * mean(capacity), sizes.window_s, window)
            outcomes += await _then(work, over)
            trivial += (await probing) if load == 2.0 else []
    refused = [one for one in found[2.0] if one.status == 429]
    return {
        "capacity": mean(capacity),
        "p99_at_1": quantile([one.seconds for one in found[1.0] if one.status == 200], 0.99),
        "p99_at_2": quantile([one.seconds for one in found[2.0] if one.status == 200], 0.99),
        "accepted_at_1": sum(one.status == 200 for one in found[1.0]),
        "accepted_at_2": sum(one.status == 200 for one in found[2.0]),
        "refused_at_2": len(refused),
        "others": sum(one.status not in (200, 429) for outcomes in found.values() for one in outcomes),
        "inside_p50_ms": quantile([one.inside_ms for one in refused], 0.5),
        "inside_p99_ms": quantile([one.inside_ms for one in refused], 0.99),
        "refusal_http_p50_ms": 1000 * quantile([one.seconds for one in refused], 0.5),
        "refusal_http_p99_ms": 1000 * quantile([one.seconds for one in refused], 0.99),
        "trivial_http_p50_ms": 1000 * quantile(trivial, 0.5),
        "trivial_http_p99_ms": 1000 * quantile(trivial, 0.99),
    }


async def _then(work: Awaitable[list[Outcome]], over: asyncio.Event) -> list[Outcome]:
    try:
        return await work
    finally:
        over.set()


async def _warm(system: System, orders: Iterator[Order]) -> None:
    _check(await keep_asking(system, orders, 2, 0.1))


def _check(outcomes: Sequence[Outcome]) -> None:
    failed = [one.status for one in outcomes if one.status != 200]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(outcomes)} requests failed, with {sorted(set(failed))}")


def _rows_of(model: BaseModel, names: Sequence[str]) -> dict[str, torch.Tensor]:
    return {name: embedding_of(model, seed).rows["text_encoder"] for seed, name in enumerate(names)}


def _start_ray() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    ray.init(
        address="local",
        include_dashboard=False,
        num_cpus=8,
        object_store_memory=100 * 2**20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    return f"http://127.0.0.1:{port}"


def _name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
