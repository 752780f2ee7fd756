"""What must be true of a job whose processes died, and the unharmed training that it is compared with."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from tests.cluster.conftest import GENTLE
from textinv.embedding import Embedding
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.sweep import sweep_jobs
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.sources import fetch_pictures
from textinv.registry import Registry
from textinv.spec import StopSpec, image_key
from textinv.training import Work
from textinv.training.train import learn

NUM_CONCEPTS, MAX_STEPS, NUM_SLOTS = 24, 10, 3
CHECKPOINT_S = 1.0
# Looked at after every step, so that the queue knows what a worker had done when it died.
SMALL = {
    "samples_per_step": 1,
    "stop": StopSpec(rule="fixed", every_steps=1, window=2, threshold=0.1, num_samples=1),
}
STEP = GENTLE.learning_rate
"""What one step changes of the rows, relative to the rows; a seventh or more is missing where the last is lost."""
LEAST_TOLERANCE = 1e-4
"""Of the difference of rows, relative to the rows, on a machine that rounds as little as others do."""
LASTING = {"format.json", "fleets", "images", "index", "jobs", "runs", "done", "versions", "heads"}


@dataclass(frozen=True)
class Unharmed:
    """What a job's concepts learn when nobody dies, and how much of it is this machine's rounding.

    A concept that was interrupted goes on in a pack with other neighbours, and its sums are rounded otherwise. How much
    that comes to hangs on the CPU and on the libraries, so it is measured here and not stated.
    """

    learned: Mapping[str, Embedding]
    rounding: float

    @property
    def tolerance(self) -> float:
        """Difference of rows that an interruption may bring: some of the rounding, a hundredth of a step at most."""
        return max(LEAST_TOLERANCE, 10 * self.rounding)


def train_unharmed(model: BaseModel, works: Sequence[Work]) -> Unharmed:
    """Train concepts in this process, twice: in packs of another size, a batch's sums are rounded otherwise."""
    learned, again = learn_all(model, works, 8), learn_all(model, works, NUM_SLOTS)
    rounding = max(difference(learned[name], again[name]) for name in learned)
    assert rounding < STEP / 1000, "rounding grows so much here that these concepts cannot tell it from a lost step"
    return Unharmed(learned, rounding)


def works_of(job_store: JobStore, record: JobRecord) -> list[Work]:
    """What a job has to learn."""
    return [
        Work(
            spec,
            fetch_pictures(spec, lambda digest: job_store.store.get(image_key(digest)).body),
            None,
            spec.fingerprint,
        )
        for spec in job_store.specs(record)
    ]


def learn_all(model: BaseModel, works: Sequence[Work], num_slots: int) -> Mapping[str, Embedding]:
    """Learn concepts, so many at once."""
    learned = learn(model, works, num_slots=num_slots)
    assert not learned.errors
    return {name: concept.embedding for name, concept in learned.concepts.items()}


def check_each_concept_once(registry: Registry, unharmed: Unharmed) -> list[dict[str, Any]]:
    """Every concept has one version, which its claim names, with the rows of an unharmed training; their records."""
    records = []
    for name, expected in unharmed.learned.items():
        versions = registry.versions(name)
        assert [version.version for version in versions] == [1], name
        claim = registry.finished(versions[0].fingerprint)
        assert claim is not None
        assert (claim["name"], claim["run_id"]) == (name, versions[0].run_id)
        found = registry.resolve(ConceptRef(name))
        assert difference(found.embedding, expected) < unharmed.tolerance, name
        assert (found.record["steps"], found.record["sample_passes"]) == (MAX_STEPS, MAX_STEPS)
        records.append(dict(found.record))
    assert len(registry.finished_fingerprints()) == len(unharmed.learned)
    assert list(registry.verify()) == []
    return records


def check_nothing_is_left(registry: Registry) -> int:
    """Sweep, and see that only what is named remains; how many objects were swept away."""
    swept = len(registry.gc(grace_s=0).removed_keys)
    swept += len(sweep_jobs(registry, grace_s=0))
    keys = [info.key for info in registry.store.list("")]
    assert {key.split("/")[0] for key in keys} <= LASTING
    assert len({key.split("/")[1] for key in keys if key.startswith("runs/")}) == NUM_CONCEPTS
    return swept


def difference(one: Embedding, other: Embedding) -> float:
    """The largest difference of two embeddings' rows, relative to the rows."""
    parts = [(torch.dist(one.rows[name], other.rows[name]) / other.rows[name].norm()).item() for name in other.rows]
    return max(parts)


def passes_between_checkpoints(records: list[dict[str, Any]]) -> int:
    """How many sample passes a slot makes between two checkpoints at most, with the step during which one is due."""
    pace = max(record["sample_passes"] / record["seconds"] for record in records)
    return math.ceil(pace * CHECKPOINT_S) + 2
