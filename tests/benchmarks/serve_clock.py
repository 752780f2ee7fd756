"""Latency by the processor's clock: the engine and the pipeline in this process, as if each had a processor of its own.

Requests arrive on a clock that runs on by what the work takes of the processor, and leaps to the next arrival when
there is none. Other work on the machine slows processors too (their caches, their other half), from minute to minute:
between pieces of work the bare UNet is timed, and seconds are counted as on a machine that is as fast as at the
beginning. Neither HTTP nor Serve is in it; they are measured beside it.
"""

import itertools
import math
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from statistics import mean, median
from typing import Any, NamedTuple

import torch
from serve_clients import Order, orders_of
from serve_systems import Batched

from textinv.embedding import Embedding
from textinv.generation import Engine, GenerateRequest, Ticket
from textinv.generation.prompts import PromptEncoder
from textinv.models import BaseModel
from textinv.placeholders import ConceptRef

Mounts = Mapping[str, Embedding]
_LOAD = 0.8
# Of a trace: the share of requests that do not count, as both systems start empty.
_SETTLING = 0.25
# Full batches of the anchor that have at least so many requests together tell the capacities.
_MIN_AT_ONCE = 36
# `@serve.batch` waits so long for more once a request is there.
_WAIT_S = 0.01
# The UNet is timed this often, and the median of the last few times counts.
_TIME_EVERY_S, _NUM_TIMES = 0.7, 5


class Arrival(NamedTuple):
    """A request and when it comes."""

    at: float
    order: Order


Run = Generator[float, None, list[float]]
"""A system at work on arrivals: yields its clock after each piece of work, returns latencies in order of arrival."""


class Speed:
    """Turns seconds of the processor into seconds of a machine as fast as at the beginning."""

    def __init__(self, model: BaseModel, num_images: int) -> None:
        encoder = PromptEncoder(model)
        with torch.inference_mode():
            (empty,) = encoder.encode([encoder.prepare("", {}, False)])
        side = model.native_px // model.latent_scale
        noisy_BCHW = torch.zeros((2 * num_images, model.latent_channels, side, side), device=model.device)
        self._inputs = (noisy_BCHW, torch.full((2 * num_images,), 500.0, device=model.device))
        self._rows = empty.index(torch.zeros(2 * num_images, dtype=torch.long))
        self._model = model
        self._recent: deque[float] = deque(maxlen=_NUM_TIMES)
        for _ in range(_NUM_TIMES):
            self._time_unet()
        self._usual = median(self._recent)
        self._since = 0.0

    def spent(self, work: Callable[[], Any]) -> float:
        """Do a piece of work; its seconds."""
        began = _clock()
        work()
        spent_s = _clock() - began
        self._since += spent_s
        if self._since > _TIME_EVERY_S:
            self._since = 0.0
            self._time_unet()
        return spent_s * self._usual / median(self._recent)

    def _time_unet(self) -> None:
        began = _clock()
        with torch.inference_mode():
            self._model.predict(*self._inputs, self._rows).sum().item()
        self._recent.append(_clock() - began)


def clocked_latency(
    model: BaseModel, embeddings: Mounts, steps: Sequence[int], knee: int, num_requests: int, like_ours: bool
) -> dict[str, float]:
    """Mean seconds per picture at 0.8 of the slower one's capacity: of the engine, and of batches run to completion."""
    max_batch, speed = knee * len(steps), Speed(model, knee)
    rows = {name: one.rows["text_encoder"] for name, one in embeddings.items()}
    pipeline = Batched(rows, model.dtype, max_batch, like_ours)
    engine = Engine(model, max_batch=knee)
    orders = list(itertools.islice(orders_of(list(embeddings), steps, 1), num_requests))

    def run(arrivals: Sequence[Arrival]) -> dict[str, list[float]]:
        return _side_by_side(
            {
                "ours": _draw_by_steps(engine, embeddings, arrivals, speed),
                "batched": _draw_by_batches(pipeline, arrivals, max_batch, speed),
            }
        )

    run([Arrival(0.0, order) for order in orders[:knee]])  # pays for memory and kernels
    num_at_once = max_batch * math.ceil(_MIN_AT_ONCE / max_batch)
    at_once = run([Arrival(0.0, order) for order in itertools.islice(itertools.cycle(orders), num_at_once)])
    capacities = {name: num_at_once / max(seconds) for name, seconds in at_once.items()}
    per_s = _LOAD * min(capacities.values())
    draw = random.Random(0)
    times = sorted(draw.uniform(0, num_requests / per_s) for _ in range(num_requests))
    seconds = run([Arrival(*pair) for pair in zip(times, orders, strict=True)])
    means = {f"{name}_s": mean(found[int(_SETTLING * num_requests) :]) for name, found in seconds.items()}
    return means | {f"{name}_per_s": capacity for name, capacity in capacities.items()} | {"per_s": per_s}


def _side_by_side(runs: Mapping[str, Run]) -> dict[str, list[float]]:
    """Run systems to their ends; whose clock is behind goes on, so that a slow minute is slow for all."""
    clocks, latencies = dict.fromkeys(runs, 0.0), dict[str, list[float]]()
    while clocks:
        name = min(clocks, key=lambda one: clocks[one])
        try:
            clocks[name] = next(runs[name])
        except StopIteration as done:
            latencies[name] = done.value
            del clocks[name]
    return latencies


def _draw_by_steps(engine: Engine, embeddings: Mounts, arrivals: Sequence[Arrival], speed: Speed) -> Run:
    """Requests are taken in between two inference steps."""
    now, waiting, latencies = 0.0, deque(enumerate(arrivals)), dict[int, float]()
    under_way: dict[int, Ticket] = {}
    while waiting or under_way:
        if not under_way:
            now = max(now, waiting[0][1].at)
        while waiting and waiting[0][1].at <= now:
            place, one = waiting.popleft()
            request = GenerateRequest(one.order.prompt, num_inference_steps=one.order.steps, seed=one.order.seed)
            mounts = {ConceptRef(one.order.concept): embeddings[one.order.concept]}
            now += speed.spent(lambda r=request, m=mounts, p=place: under_way.update({p: engine.submit(r, m)}))
        now += speed.spent(engine.step)
        for place in [place for place, ticket in under_way.items() if ticket.done()]:
            now += speed.spent(under_way.pop(place).result()[0].png)
            latencies[place] = now - arrivals[place].at
        yield now
    return [latencies[place] for place in range(len(arrivals))]


def _draw_by_batches(pipeline: Batched, arrivals: Sequence[Arrival], max_batch: int, speed: Speed) -> Run:
    """All that wait when a batch is done are the next one."""
    now, waiting, latencies = 0.0, deque(arrivals), list[float]()
    while waiting:
        now, batch = max(now, waiting[0].at) + _WAIT_S, list[Arrival]()
        while waiting and waiting[0].at <= now and len(batch) < max_batch:
            batch.append(waiting.popleft())
        asked = [(one.order.prompt, one.order.steps, one.order.seed) for one in batch]
        now += speed.spent(lambda asked=asked: pipeline.draw(asked))
        latencies += [now - one.at for one in batch]
        yield now
    return latencies


def _clock() -> float:
    return time.perf_counter() if torch.cuda.is_available() else time.process_time()
