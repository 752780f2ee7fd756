"""What was learned on one base model is planned anew for another, from records and stored pictures."""

import base64

import pytest
import torch

from tests.fixtures.store_of_format_1 import unpack_store
from textinv.embedding import Embedding
from textinv.errors import InputError, UnknownConceptError
from textinv.jobs.migration import migrate
from textinv.placeholders import ConceptRef
from textinv.plan.relearn import on_base, plan_relearning
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.settings import Settings
from textinv.spec import TrainSpec, image_key

NEW = BaseFacts("f" * 64, 128, row_widths={"text_encoder": 320})


@pytest.fixture
def registry() -> Registry:
    """A fox of two versions and a drum, as an older program left them, and one that came from elsewhere."""
    store = unpack_store()
    migrate(store, {})
    registry = Registry(store)
    rows = Embedding({"text_encoder": torch.ones(1, 192)})
    registry.publish("found", rows, {}, fingerprint="found", base_model="", base_revision="")
    return registry


def test_every_concept_is_planned_for_the_new_base_and_what_cannot_be_is_named(registry: Registry) -> None:
    relearning = plan_relearning([], "new-base", NEW, registry, Settings())
    specs = {one.spec.name: one.spec for one in relearning.plan.specs}
    assert {name: (one.base_model, one.base_revision, one.resolution_px) for name, one in specs.items()} == {
        "dotty-fox": ("new-base", "f" * 64, 128),
        "drum": ("new-base", "f" * 64, 128),
    }
    assert (specs["dotty-fox"].max_steps, specs["dotty-fox"].init) == (4, "fox")  # of its second version
    assert [one.state for one in relearning.plan.specs] == ["new", "new"]
    assert list(relearning.left_out) == ["found"]
    assert all(source.stored for source in relearning.plan.pictures.values())


def test_what_was_learned_on_the_new_base_is_done(registry: Registry) -> None:
    (planned,) = plan_relearning(["drum"], "new-base", NEW, registry, Settings()).plan.specs
    registry.publish(
        "drum",
        Embedding({"text_encoder": torch.ones(1, 320)}),
        {"spec": planned.spec.model_dump(mode="json")},
        fingerprint=planned.fingerprint,
        base_model="new-base",
        base_revision=NEW.revision,
    )
    (again,) = plan_relearning(["drum"], "new-base", NEW, registry, Settings()).plan.specs
    assert (again.state, again.version) == ("done", 2)


def test_purged_pictures_and_unknown_names_are_said(registry: Registry) -> None:
    (planned,) = plan_relearning(["drum"], "new-base", NEW, registry, Settings()).plan.specs
    registry.store.delete([image_key(planned.spec.pictures[0].digest)])
    with pytest.raises(InputError, match="drum: 1 of its pictures were deleted"):
        plan_relearning(["drum"], "new-base", NEW, registry, Settings())
    with pytest.raises(UnknownConceptError, match="'dragon'"):
        plan_relearning(["dragon"], "new-base", NEW, registry, Settings())


def test_rows_of_other_widths_are_no_start(registry: Registry) -> None:
    (planned,) = plan_relearning(["dotty-fox"], "new-base", NEW, registry, Settings()).plan.specs
    for width, kept in ((320, True), (192, False)):
        rows = base64.b64encode(Embedding({"text_encoder": torch.ones(1, width)}).to_bytes()).decode()
        spec = planned.spec.model_copy(update={"init": "<other@1>", "init_embedding": rows})
        found = on_base(spec, spec.name, "new-base", NEW)
        assert (found.init, found.init_embedding) == (("<other@1>", rows) if kept else ("fox", None))


def guessed(registry: Registry, **changes: object) -> TrainSpec:
    """The drum's spec, started from a guess."""
    spec = TrainSpec.model_validate(registry.resolve(ConceptRef("drum")).record["spec"])
    return spec.model_copy(update={"name": "fox", "class_word": "fox", "start_digest": "d" * 64, **changes})


def test_what_started_from_a_guess_starts_from_that_of_the_new_base_or_from_words(registry: Registry) -> None:
    spec = guessed(registry, init="guess")
    assert on_base(spec, "fox", "new-base", NEW, "e" * 64).start_digest == "e" * 64
    without = on_base(spec, "fox", "new-base", NEW)
    assert (without.start_digest, without.init) == (None, "fox")
    either = on_base(guessed(registry, init="auto"), "fox", "new-base", NEW)
    assert (either.start_digest, either.init) == (None, "auto")


def test_what_was_only_guessed_needs_a_guess_of_the_new_base(registry: Registry) -> None:
    spec = guessed(registry, init="guess", max_steps=0, min_steps=0)
    rows = Embedding({"text_encoder": torch.ones(1, 192)})
    registry.publish(
        "fox",
        rows,
        {"spec": spec.model_dump(mode="json")},
        fingerprint="fox",
        base_model="emoji",
        base_revision="old",
    )
    with pytest.raises(InputError, match="fox: it was only guessed, and there is no guess for new-base"):
        plan_relearning(["fox"], "new-base", NEW, registry, Settings())
