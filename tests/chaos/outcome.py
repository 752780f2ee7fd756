"""What must be true of a job whose processes died, and the unharmed training that it is compared with."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from textinv.embedding import Embedding
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.sweep import sweep_jobs
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.plan.sources import fetch_pictures, image_key
from textinv.registry import Registry
from textinv.spec import StopSpec
from textinv.training import Work
from textinv.training.local import learn

NUM_CONCEPTS, MAX_STEPS = 24, 10
CHECKPOINT_S = 1.0
# Looked at after every step, so that the queue knows what a worker had done when it died.
SMALL = {
    "samples_per_step": 1,
    "stop": StopSpec(rule="fixed", every_steps=1, window=2, threshold=0.1, num_samples=1),
}
TOLERANCE = 1e-4
"""Of the difference of rows, relative to the rows."""
LASTING = {"format.json", "fleets", "images", "index", "jobs", "runs", "done", "versions", "heads"}


def train_unharmed(model: BaseModel, job_store: JobStore, record: JobRecord) -> Mapping[str, Embedding]:
    """Train a job's concepts in this process."""
    works = [
        Work(
            spec,
            fetch_pictures(spec, lambda digest: job_store.store.get(image_key(digest)).body),
            None,
            spec.fingerprint,
        )
        for spec in job_store.specs(record)
    ]
    learned = learn(model, works, num_slots=8)
    assert not learned.errors
    return {name: concept.embedding for name, concept in learned.concepts.items()}


def check_each_concept_once(registry: Registry, unharmed: Mapping[str, Embedding]) -> list[dict[str, Any]]:
    """Every concept has one version, which its claim names, with the rows of an unharmed training; their records."""
    records = []
    for name, expected in unharmed.items():
        versions = registry.versions(name)
        assert [version.version for version in versions] == [1], name
        claim = registry.finished(versions[0].fingerprint)
        assert claim is not None
        assert (claim["name"], claim["run_id"]) == (name, versions[0].run_id)
        found = registry.resolve(ConceptRef(name))
        assert difference(found.embedding, expected) < TOLERANCE, name
        assert (found.record["steps"], found.record["sample_passes"]) == (MAX_STEPS, MAX_STEPS)
        records.append(dict(found.record))
    assert len(registry.finished_fingerprints()) == len(unharmed)
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
