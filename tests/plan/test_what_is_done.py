"""A plan says per concept what is new, done or changed, and what is left to pay for."""

import base64
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from textinv.embedding import Embedding
from textinv.embedding.formats import export_bytes
from textinv.errors import ManifestError
from textinv.placeholders import ConceptRef
from textinv.plan import Plan, PlannedSpec
from textinv.plan.estimate import EVALUATION_PASSES, MAX_PREVIEWS, PINNED_PASSES, PREVIEW_PASSES, RANKED_WORDS
from textinv.plan.published import FEW
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.settings import Settings
from textinv.store import MemoryStore
from textinv.training.ranking import SHORTLIST

Planned = Callable[..., Plan]
Write = Callable[..., Path]
TWO = "  - {name: fox, images: foxes, max_steps: 30}\n  - {name: cat, images: foxes, max_steps: 50}\n"


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryStore())


def publish(registry: Registry, planned: PlannedSpec, seconds: float = 2.0) -> None:
    spec = planned.spec
    registry.publish(
        spec.name,
        Embedding({"text_encoder": torch.ones(1, 4) * len(planned.fingerprint)}),
        {"sample_passes": 100, "seconds": seconds, "num_slots": 4},
        fingerprint=spec.fingerprint,
        base_model=spec.base_model,
        base_revision=spec.base_revision,
    )


def states(plan: Plan) -> list[str]:
    return [planned.state for planned in plan.specs]


def test_without_a_registry_and_on_an_empty_one_everything_is_new(
    foxes: Path, write: Write, planned: Planned, registry: Registry
) -> None:
    for given in (None, registry):
        plan = planned(write(TWO), given)
        assert states(plan) == ["new", "new"]
        assert plan.counts == {"new": 2, "changed": 0, "done": 0}
        assert plan.estimate.worker_s is None


def test_what_was_published_is_done_and_costs_nothing(
    foxes: Path, write: Write, planned: Planned, registry: Registry
) -> None:
    for one in planned(write(TWO), registry).specs:
        publish(registry, one)
    plan = planned(write(TWO), registry)
    assert states(plan) == ["done", "done"]
    assert [one.version for one in plan.specs] == [1, 1]
    assert plan.estimate.sample_passes == plan.estimate.concepts == 0


def test_changing_one_concept_changes_that_one_alone(
    foxes: Path, write: Write, planned: Planned, registry: Registry
) -> None:
    for one in planned(write(TWO), registry).specs:
        publish(registry, one)
    plan = planned(write(TWO.replace("50", "60")), registry)
    assert states(plan) == ["done", "changed"]
    assert plan.specs[1].reason == "cat@1 was learned from another spec"
    assert plan.estimate.max_sample_passes == 60 * 4


def test_going_back_to_an_older_manifest_moves_the_head_and_trains_nothing(
    foxes: Path, write: Write, planned: Planned, registry: Registry
) -> None:
    older, newer = write(TWO, file="older.yaml"), write(TWO.replace("50", "60"), file="newer.yaml")
    for path in (older, newer):
        for one in planned(path, registry).specs:
            publish(registry, one)
    cat = planned(older, registry).specs[1]
    assert (cat.state, cat.version, cat.head_moves) == ("done", 1, True)
    assert "cat@2 is current" in cat.reason
    registry.move_head("cat", 1)
    assert not planned(older, registry).specs[1].head_moves
    assert planned(newer, registry).specs[1].head_moves


def test_a_removed_concept_is_new_again(foxes: Path, write: Write, planned: Planned, registry: Registry) -> None:
    for one in planned(write(TWO), registry).specs:
        publish(registry, one)
    registry.remove("fox")
    assert states(planned(write(TWO), registry)) == ["new", "done"]


def test_time_and_cost_follow_from_the_pace_of_earlier_concepts(
    foxes: Path, write: Write, planned: Planned, registry: Registry, tmp_path: Path
) -> None:
    publish(registry, planned(write(TWO), registry).specs[0], seconds=10.0)  # 100 passes in 10 s in each of 4 slots
    settings = Settings(home=tmp_path / "home", gpu_hour_price=3.6)
    estimate = planned(write(TWO), registry, settings=settings).estimate
    assert estimate.worker_s == pytest.approx((estimate.sample_passes + estimate.evaluation_passes) / 40)
    assert estimate.cost == pytest.approx(estimate.worker_s / 1000)
    assert estimate.sample_passes <= estimate.max_sample_passes == 50 * 4


def test_an_initializer_from_the_registry_is_pinned_with_its_bytes(
    foxes: Path, write: Write, planned: Planned, registry: Registry
) -> None:
    publish(registry, planned(write(TWO), registry).specs[0])
    manifest = write("  - {name: vixen, images: foxes, init: <fox>}\n")
    spec = planned(manifest, registry).specs[0].spec
    assert spec.init == "<fox@1>"
    assert spec.init_embedding is not None
    before = spec.fingerprint
    other = planned(write(TWO.replace("30", "31"), file="other.yaml"), registry).specs[0]
    publish(registry, other)
    again = planned(manifest, registry).specs[0].spec
    assert again.init == "<fox@2>"
    assert again.fingerprint == before  # the bytes are the same
    assert registry.resolve(ConceptRef("fox")).version == 2


def test_an_initializer_from_a_file_is_pinned_with_its_bytes(
    foxes: Path, write: Write, planned: Planned, tmp_path: Path
) -> None:
    manifest = write("  - {name: vixen, images: foxes, init: 'file:rows.safetensors'}\n")
    fingerprints = []
    for value in (1.0, 2.0):
        embedding = Embedding({"text_encoder": torch.full((1, 768), value)})
        (tmp_path / "rows.safetensors").write_bytes(export_bytes(embedding, "vixen"))
        spec = planned(manifest).specs[0].spec
        assert spec.init_embedding is not None
        again = Embedding.from_bytes(base64.b64decode(spec.init_embedding))
        assert torch.equal(again.rows["text_encoder"], embedding.rows["text_encoder"])
        fingerprints.append(spec.fingerprint)
    assert fingerprints[0] != fingerprints[1]
    (tmp_path / "rows.safetensors").write_bytes(b"not an embedding")
    with pytest.raises(ManifestError) as caught:
        planned(manifest)
    assert caught.value.details["problems"][0]["field"] == "concepts[0].init"


def test_an_initializer_that_does_not_fit_is_told_of_before_anything_is_learned(
    foxes: Path, write: Write, planned: Planned, tmp_path: Path
) -> None:
    manifest = write("  - {name: vixen, images: foxes, num_vectors: 2, init: 'file:rows.safetensors'}\n")
    embedding = Embedding({"text_encoder": torch.ones(3, 768)})
    (tmp_path / "rows.safetensors").write_bytes(export_bytes(embedding, "vixen"))
    facts = BaseFacts("r" * 64, 64, row_widths={"text_encoder": 192})
    with pytest.raises(ManifestError) as caught:
        planned(manifest, base=facts)
    (problem,) = caught.value.details["problems"]
    assert problem["field"] == "concepts[0].init"
    assert "768 wide, but those of" in problem["message"]
    plan = planned(manifest, base=dataclasses.replace(facts, row_widths={"text_encoder": 768}))
    (warning,) = [one for one in plan.warnings if one.field == "concepts[0].init"]
    assert "num_vectors: 3 keeps all" in warning.message


def test_a_plan_is_told_as_plain_json(foxes: Path, write: Write, planned: Planned, registry: Registry) -> None:
    told = planned(write(TWO), registry).to_json()
    assert told["name"] == "m"
    assert [concept["state"] for concept in told["concepts"]] == ["new", "new"]
    assert told["estimate"]["concepts"] == 2


def test_a_large_plan_is_compared_by_listing(foxes: Path, write: Write, planned: Planned, registry: Registry) -> None:
    many = [f"  - {{name: c{number}, images: foxes, seed: {number}}}\n" for number in range(FEW + 1)]
    path = write("".join(many))
    first = planned(path, registry)
    assert first.counts["new"] == FEW + 1
    for one in first.specs[:5]:
        publish(registry, one)
    changed = write("".join([many[0].replace("seed: 0", "seed: 9"), *many[1:]]), file="changed.yaml")
    assert planned(changed, registry).counts == {"new": FEW - 4, "changed": 1, "done": 4}
    publish(registry, planned(changed, registry).specs[0])
    older = planned(path, registry)
    assert older.counts["done"] == 5
    assert older.specs[0].head_moves


def test_previews_are_part_of_the_estimate(write: Write, foxes: Path, planned: Planned) -> None:
    concept = "  - {name: fox, images: foxes, stop: fixed, max_steps: 100, preview_every: %d}\n"
    without, some, most = (planned(write(concept % every)).estimate for every in (0, 40, 1))
    assert (without.preview_passes, some.preview_passes) == (0, 3 * PREVIEW_PASSES)
    assert most.preview_passes == MAX_PREVIEWS * PREVIEW_PASSES
    assert without.sample_passes == some.sample_passes == most.sample_passes


def test_scoring_is_part_of_the_estimate_unless_it_is_off(write: Write, foxes: Path, planned: Planned) -> None:
    concept = "  - {name: fox, images: foxes, evaluate: %s}\n"
    on, off = (planned(write(concept % word)).estimate for word in ("true", "false"))
    assert (on.evaluation_passes, off.evaluation_passes) == (EVALUATION_PASSES, 0)


def test_ranking_words_by_their_loss_is_part_of_the_estimate(write: Write, foxes: Path, planned: Planned) -> None:
    path = write("  - {name: fox, images: foxes, init: auto}\n  - {name: cat, images: foxes, init: cat}\n")
    own, without = (planned(path, base=BaseFacts("base-1", 32, has_clip=has)).estimate for has in (True, False))
    assert (own.init_passes, without.init_passes) == (0, RANKED_WORDS * 8 // 2)
    assert len(SHORTLIST) + 1 == RANKED_WORDS


def test_only_pinned_pictures_are_drawn_where_no_encoder_can_score(
    write: Write, foxes: Path, planned: Planned, tmp_path: Path
) -> None:
    path, base = write("  - {name: fox, images: foxes}\n"), BaseFacts("base-1", 32, has_clip=False)
    told = Settings(home=tmp_path / "home", encoders=(tmp_path / "clip",))
    without, with_folder = (planned(path, base=base, **given).estimate for given in ({}, {"settings": told}))
    assert (without.evaluation_passes, with_folder.evaluation_passes) == (PINNED_PASSES, EVALUATION_PASSES)
