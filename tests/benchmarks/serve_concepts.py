"""What concepts cost a batch: different ones beside one, and one that was never asked for before.

All in this process: the engine, the cache of embeddings and the registry. Heads are written by the registry's own code
(`head_for`), one object each, without the history that publishing leaves and serving never reads.
"""

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from statistics import median
from typing import NamedTuple

import torch

from textinv.embedding import Embedding
from textinv.generation import EmbeddingCache, Engine, GenerateRequest
from textinv.models import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import Registry, VersionEntry
from textinv.registry.heads import Contents, head_for
from textinv.registry.layout import head_key
from textinv.store.memory import MemoryStore
from textinv.store.protocol import JSON, ObjectStore

WORD = "frog"


class Spent(NamedTuple):
    """Seconds of a piece of work, by the clock and of the processor."""

    wall_s: float
    cpu_s: float


def names_of(num_concepts: int) -> list[str]:
    """Names of so many concepts."""
    return [f"concept-{number:06d}" for number in range(num_concepts)]


def embedding_of(model: BaseModel, seed: int) -> Embedding:
    """Rows near those of a word, so that pictures come out as they do for learned concepts."""
    generator = torch.Generator().manual_seed(seed)
    rows = _word_rows(model)
    return Embedding({name: row + 0.02 * torch.randn(row.shape, generator=generator) for name, row in rows.items()})


@cache
def _word_rows(model: BaseModel) -> dict[str, torch.Tensor]:
    return {name: model.token_rows(name, WORD)[:1].cpu() for name in model.encoder_names}


def write_heads(store: ObjectStore, model: BaseModel, names: Sequence[str]) -> None:
    """Store concepts as serving reads them: their heads."""
    for seed, name in enumerate(names):
        embedding = embedding_of(model, seed)
        entry = VersionEntry(
            name=name,
            version=1,
            run_id=name,
            fingerprint=name,
            created="2026-01-01T00:00:00+00:00",
            base_model=model.id,
            base_revision=model.revision,
            digest=embedding.digest,
            num_vectors=embedding.num_vectors,
            widths=embedding.widths,
            artifacts={},
        )
        store.put(
            head_key(name, entry.base_revision),
            head_for(entry, Contents(embedding, {"steps": 400}), None, 1).body(),
            JSON,
        )


def mix_costs(model: BaseModel, num_stored: int, batch: int, steps: int, repeats: int) -> dict[str, float]:
    """Seconds of a batch of different concepts and of one, by wall and processor; every prompt of both is a new one.

    Both are drawn side by side, in turns of one inference step, and compared step by step: what else the machine does
    changes from second to second, and so slows both steps of a pair rather than one of two batches. Of each place in
    the batch's course the median pair counts.
    """
    store, names = MemoryStore(), names_of(num_stored)
    write_heads(store, model, names)
    cache = EmbeddingCache(Registry(store))
    engines = {kind: Engine(model, max_batch=batch) for kind in ("different", "one")}
    draw, numbers = random.Random(0), itertools.count()
    pairs: list[list[dict[str, Spent]]] = []
    for repeat in range(repeats + 1):
        chosen = {"different": draw.sample(names, min(batch, num_stored)), "one": [draw.choice(names)]}
        courses = {
            kind: _course(engine, cache, list(itertools.islice(itertools.cycle(chosen[kind]), batch)), steps, numbers)
            for kind, engine in engines.items()
        }
        turns = list(courses.items())[:: 1 if repeat % 2 else -1]
        pairs.append([{kind: _time_piece(course) for kind, course in turns} for _ in range(steps + 1)])
    cache.close()
    by_place = list(zip(*pairs[1:], strict=True))  # the first course pays for memory and kernels
    one = [Spent(*(median(pair["one"][k] for pair in place) for k in (0, 1))) for place in by_place]
    dearer = [
        Spent(*(median(pair["different"][k] / pair["one"][k] for pair in place) for k in (0, 1))) for place in by_place
    ]
    return {
        "different_s": sum(spent.wall_s * times.wall_s for spent, times in zip(one, dearer, strict=True)),
        "one_s": sum(spent.wall_s for spent in one),
        "different_cpu_s": sum(spent.cpu_s * times.cpu_s for spent, times in zip(one, dearer, strict=True)),
        "one_cpu_s": sum(spent.cpu_s for spent in one),
    }


def cold_latencies(model: BaseModel, store: ObjectStore, names: Sequence[str], drawing: bool) -> dict[str, list[float]]:
    """Seconds until a never-seen concept is at hand, and again when it is; while the engine draws, or is idle."""
    cache = EmbeddingCache(Registry(store))
    cache.resolve([ConceptRef(names[0])])  # connects
    with _drawing(model) if drawing else nullcontext():
        cold = [_time_resolve(cache, name) for name in names[1:]]
        warm = [_time_resolve(cache, name) for name in names[1:]]
    cache.close()
    return {"cold": cold, "warm": warm}


@contextmanager
def _drawing(model: BaseModel) -> Iterator[None]:
    engine = Engine(model, max_batch=8)
    ticket = engine.submit(GenerateRequest("a frog", num_inference_steps=150, num_images=64))
    engine.start()
    try:
        yield
        assert not ticket.done(), "the engine ran out of work while it was measured beside"
    finally:
        engine.close()


def _course(
    engine: Engine, cache: EmbeddingCache, names: Sequence[str], steps: int, numbers: Iterator[int]
) -> Iterator[None]:
    """Draw a batch piece by piece: asking for it first, then each inference step."""
    for name in names:
        number = next(numbers)
        request = GenerateRequest(f"a <{name}> number {number}", num_inference_steps=steps, seed=number)
        engine.submit(request, cache.resolve(request.refs))
    yield
    for _ in range(steps):
        engine.step()
        yield


def _time_piece(course: Iterator[None]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    next(course)
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _time_resolve(cache: EmbeddingCache, name: str) -> float:
    began = time.perf_counter()
    cache.resolve([ConceptRef(name)])
    return time.perf_counter() - began
