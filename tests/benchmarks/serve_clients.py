"""Clients: some that ask again as soon as they are answered, and a stream of them that comes at its own pace.

Owns what is measured of requests: when each began and ended, and its status.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import httpx

Kind = Literal["ours", "pipeline"]
_TIMEOUT_S = 180.0


class Order(NamedTuple):
    """One picture to ask for."""

    concept: str
    steps: int
    seed: int

    @property
    def prompt(self) -> str:
        """What is drawn."""
        return f"a <{self.concept}> on grass"


@dataclass(frozen=True)
class Outcome:
    """One request: seconds of its begin and end, its status, milliseconds inside the service, its `Retry-After`."""

    began: float
    ended: float
    status: int
    inside_ms: float = 0.0
    retry_after: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended - self.began


@dataclass(frozen=True)
class System:
    """A service under measurement."""

    kind: Kind
    url: str


def orders_of(concepts: Sequence[str], steps: Sequence[int], seed: int) -> Iterator[Order]:
    """Draw orders without end, the same ones for the same seed."""
    draw = random.Random(seed)
    for number in itertools.count():
        yield Order(draw.choice(concepts), draw.choice(steps), number)


async def ask(client: httpx.AsyncClient, system: System, order: Order) -> Outcome:
    """Ask for one picture."""
    began = time.perf_counter()
    if system.kind == "ours":
        body = {"prompt": order.prompt, "num_inference_steps": order.steps, "seed": order.seed, "guidance_scale": 4.0}
        reply = await client.post(f"{system.url}/v1/images/generations", json=body)
    else:
        fields = {"prompt": order.prompt, "steps": order.steps, "seed": order.seed}
        reply = await client.get(f"{system.url}/imagine", params=fields)
    inside = reply.headers.get("server-timing", "dur=0").rpartition("dur=")[2]
    return Outcome(began, time.perf_counter(), reply.status_code, float(inside), reply.headers.get("retry-after"))


async def keep_asking(system: System, orders: Iterator[Order], num_clients: int, seconds: float) -> list[Outcome]:
    """Let clients ask one request after the other for so many seconds; those under way then are waited for."""
    until = time.perf_counter() + seconds
    outcomes: list[Outcome] = []

    async def one(client: httpx.AsyncClient) -> None:
        while time.perf_counter() < until:
            outcomes.append(await ask(client, system, next(orders)))

    async with _new_client() as client:
        await asyncio.gather(*(one(client) for _ in range(num_clients)))
    return outcomes


async def arrive(system: System, orders: Iterator[Order], per_s: float, seconds: float, seed: int) -> list[Outcome]:
    """Let requests arrive at random times (a Poisson process of known number), whether others are answered or not.

    The number is that of the rate: over a short window a free one would stray by a sixth.
    """
    draw, began = random.Random(seed), time.perf_counter()
    times = sorted(draw.uniform(0, seconds) for _ in range(max(round(per_s * seconds), 1)))
    tasks = []
    async with _new_client() as client:
        for at in times:
            await asyncio.sleep(max(began + at - time.perf_counter(), 0))
            tasks.append(asyncio.create_task(ask(client, system, next(orders))))
        return list(await asyncio.gather(*tasks))


async def probe(url: str, until: asyncio.Event, every_s: float) -> list[float]:
    """Time a trivial endpoint again and again, in seconds."""
    times: list[float] = []
    async with _new_client() as client:
        while not until.is_set():
            began = time.perf_counter()
            await client.get(url)
            times.append(time.perf_counter() - began)
            await asyncio.sleep(every_s)
    return times


def throughput(outcomes: Sequence[Outcome]) -> float:
    """Requests per second, from the first one's begin until the last one is done.

    A count within a window would be off by a large part of those under way at its end, most of all for a system that
    draws in batches or one at a time.
    """
    return len(outcomes) / (max(one.ended for one in outcomes) - min(one.began for one in outcomes))


def others(outcomes: Sequence[Outcome]) -> list[int]:
    """Statuses of answers that are neither a picture nor a refusal with a `Retry-After` of at least a second."""
    return [one.status for one in outcomes if one.status != 200 and not (one.status == 429 and _says_when(one))]


def _says_when(outcome: Outcome) -> bool:
    said = outcome.retry_after or ""
    return said.isdecimal() and int(said) >= 1


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _new_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=_TIMEOUT_S, limits=httpx.Limits(max_connections=None))
