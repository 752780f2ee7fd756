"""A simulated fleet on the real queue, job store and registry: as the benchmark of scale runs it, but small."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from textinv.jobs import JobStore
from textinv.registry import Registry
from textinv.store import MemoryStore

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NUM_CONCEPTS = 300


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("scale_simulator")


def test_workers_and_the_queue_die_and_every_concept_is_done_and_published_once(simulator: Any) -> None:
    store = MemoryStore()
    sizes = simulator.Sizes(concepts=NUM_CONCEPTS, workers=20, slots=2, worker_life_s=900.0, seed=4)
    facts = simulator.simulate(sizes, store)
    assert sum(facts["deaths"].values()) > 3
    assert facts["expiries"] > 0
    assert facts["repeated_passes"] > 0
    assert len(facts["queue_refill_s"]) == 1
    assert facts["published"] == NUM_CONCEPTS
    registry = Registry(store)
    names = {f"concept-{number}" for number in range(NUM_CONCEPTS)}
    assert {summary.name: summary.version for summary in registry.list()} == dict.fromkeys(names, 1)
    assert all(len(registry.versions(name)) == 1 for name in names)
    assert len(registry.finished_fingerprints()) == NUM_CONCEPTS
    assert JobStore(store).checkpoints() == set()


def test_a_concept_that_was_set_aside_by_chance_is_asked_for_again_and_done(simulator: Any) -> None:
    sizes = simulator.Sizes(concepts=NUM_CONCEPTS, workers=20, slots=2, worker_life_s=900.0, seed=24)
    facts = simulator.simulate(sizes, MemoryStore())
    assert facts["resumed"] > 0
    assert facts["published"] == NUM_CONCEPTS
