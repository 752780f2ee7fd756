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
from serve_clients import (
    Order,
    Outcome,
    System,
    arrive,
    keep_asking,
    orders_of,
    others,
    probe,
    quantile,
    throughput,
)
from serve_concepts import embedding_of, names_of, write_heads
from serve_systems import batched, per_request

from services.application import build
from services.config import ServiceConfig
from textinv.models import BaseModel
from textinv.store import EmbeddedServer, connect_store

_GPUS = 0.3 if torch.cuda.is_available() else 0.0
# Of the slower system's capacity: what arrives while latency is measured.
_LOAD = 0.8
# Shares of a window of arrivals: what of it does not count, and how long clients ask anew while capacity is measured.
_SETTLING, _FINDING = 0.25, 0.1


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
    # Ray gives its workers the lowest but four priorities; then other work decides what is measured.
    os.environ |= {"RAY_worker_niceness": "0"}
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
            # Each batch is drawn in parts of equally many steps: so many that the parts reach the knee.
            "batched": lambda: batched(_rows_of(model, names), model.dtype, _GPUS, batch * len(sizes.steps)),
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
            outcomes = await keep_asking(system, bench.orders(sizes.steps, window), sizes.clients, sizes.window_s)
            _check(outcomes)
            found[name].append(throughput(outcomes))
        between()
    return found


async def measure_latency(bench: Bench, sizes: Sizes) -> dict[str, Any]:
    """Mean seconds per picture of both systems at 0.8 of the slower one's capacity, once they have settled.

    Both run at the same time and get the same arrivals, so that whatever else the machine does slows both. The capacity
    is measured before and after each window, of the slower system beside the other at its load: `loads` tell what the
    arrivals were of the mean of both. A system that starts empty takes many requests until its queue is as long as it
    will be: the first part of a window does not count.
    """
    for system in bench.systems.values():
        await _warm(system, bench.orders(sizes.steps[:1], 1000))
    found = await asyncio.gather(*(_saturate(bench, name, sizes, 20) for name in bench.systems))
    capacities = dict(zip(bench.systems, found, strict=True))
    slower = min(capacities, key=lambda name: capacities[name])
    (anchor,) = [name for name in bench.systems if name != "ours"]
    before = await _capacity_beside(bench, slower, sizes, _LOAD * capacities[slower])
    seconds: dict[str, list[float]] = {name: [] for name in bench.systems}
    per_s, loads, ratios = [], [], []
    for window in range(sizes.windows):
        per_s.append(_LOAD * before)
        of_window = await _arrive_at_all(bench, sizes, per_s[-1], window)
        ratios.append(mean(of_window["ours"]) / mean(of_window[anchor]))
        for name, times in of_window.items():
            seconds[name] += times
        after = await _capacity_beside(bench, slower, sizes, per_s[-1])
        loads.append(per_s[-1] / mean((before, after)))
        before = after
    means = {name: mean(times) for name, times in seconds.items()}
    return {"capacities": capacities, "per_s": per_s, "loads": loads, "ratios": ratios, "mean_s": means}


async def _arrive_at_all(bench: Bench, sizes: Sizes, per_s: float, seed: int) -> dict[str, list[float]]:
    """The same arrivals at all systems at once; seconds of those that came after the systems had settled."""
    counted_from = time.perf_counter() + _SETTLING * sizes.window_s
    orders = [bench.orders(sizes.steps, 50 + seed) for _ in bench.systems]
    work = [
        arrive(system, order, per_s, sizes.window_s, seed)
        for system, order in zip(bench.systems.values(), orders, strict=True)
    ]
    outcomes = dict(zip(bench.systems, await asyncio.gather(*work), strict=True))
    for found in outcomes.values():
        _check(found)
    return {name: [one.seconds for one in found if one.began >= counted_from] for name, found in outcomes.items()}


async def _capacity_beside(bench: Bench, slower: str, sizes: Sizes, per_s: float) -> float:
    """Pictures per second of one system that is asked all the time, while so many requests arrive at the others."""
    others = [system for name, system in bench.systems.items() if name != slower]
    seconds = 2 * _FINDING * sizes.window_s  # about until the last of those under way at its end are done
    arrivals = [arrive(system, bench.orders(sizes.steps, 30), per_s, seconds, 0) for system in others]
    capacity, *_ = await asyncio.gather(_saturate(bench, slower, sizes, 21), *arrivals)
    return capacity


async def _saturate(bench: Bench, name: str, sizes: Sizes, seed: int) -> float:
    """Pictures per second of a system that always has another batch to draw."""
    orders, seconds = bench.orders(sizes.steps, seed), _FINDING * sizes.window_s
    outcomes = await keep_asking(bench.systems[name], orders, sizes.clients, seconds)
    _check(outcomes)
    return throughput(outcomes)


async def measure_overload(bench: Bench, sizes: Sizes) -> dict[str, Any]:
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
        "num_answers": sum(map(len, found.values())),
        "others": [status for outcomes in found.values() for status in others(outcomes)],
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
