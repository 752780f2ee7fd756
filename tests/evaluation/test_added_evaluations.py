"""Scores that are taken of a published version."""

import torch

from textinv.embedding import Embedding
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion, Registry
from textinv.store.memory import MemoryStore


def published(registry: Registry, record: dict[str, object]) -> PublishedVersion:
    embedding = Embedding({"text_encoder": torch.ones(1, 8)})
    return registry.publish("fox", embedding, record, fingerprint="f", base_model="emoji", base_revision="r")


def test_added_scores_stand_after_those_of_the_record_and_the_version_stays_as_it_was() -> None:
    registry = Registry(MemoryStore())
    version = published(registry, {"evaluation": {"seed": 0}})
    for seed in (1, 2):
        registry.add_evaluation(version, {"seed": seed})
    assert registry.evaluations(version)[0] == {"seed": 0}
    assert sorted(one["seed"] for one in registry.evaluations(version)) == [0, 1, 2]
    assert dict(registry.resolve(ConceptRef("fox")).record) == {"evaluation": {"seed": 0}}
    assert list(registry.verify()) == []


def test_added_scores_outlive_a_sweep_and_go_with_their_version() -> None:
    registry = Registry(MemoryStore())
    version = published(registry, {})
    key = registry.add_evaluation(version, {"seed": 1})
    registry.gc(grace_s=-60)
    assert registry.evaluations(version) == [{"seed": 1}]
    registry.remove("fox")
    assert key not in [info.key for info in registry.store.list("runs/")]
