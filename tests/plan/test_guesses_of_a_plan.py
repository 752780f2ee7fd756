"""A plan pins the guess that its concepts may start from: by its digest, for its base model only."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guess.sharing import share
from tests.guess.small_guess import small_guess
from textinv.errors import ManifestError
from textinv.jobs.submission import submit_plan
from textinv.models.base import BaseModel
from textinv.plan import Plan
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.registry.guesses import LearnedFrom, current_guess, load_guess, publish_guess
from textinv.registry.shares import TAKEN_BACK, withdraw
from textinv.store.memory import MemoryStore

Planned = Callable[..., Plan]
Write = Callable[..., Path]
FOX = "  - {name: fox, images: foxes, init: %s}\n"


@pytest.fixture
def base(emoji: BaseModel) -> BaseFacts:
    return BaseFacts(revision=emoji.revision, native_px=32)


def with_file(base: BaseFacts, folder: Path, data: bytes) -> BaseFacts:
    """The base model with a guess in its folder."""
    file = folder / "guess.safetensors"
    file.write_bytes(data)
    return replace(base, guess_file=str(file))


@pytest.mark.parametrize("init", ["auto", "red fox"])
def test_without_a_guess_a_spec_is_what_it_was(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, init: str
) -> None:
    registry = Registry(MemoryStore())
    spec = planned(write(FOX % init), registry, base=base).specs[0].spec
    assert spec.start_digest is None
    assert "start_digest" not in spec.model_dump()
    assert spec.init == init


@pytest.mark.parametrize("init", ["auto", "guess"])
def test_the_published_guess_is_pinned_and_one_that_is_published_later_changes_no_spec(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, emoji: BaseModel, init: str
) -> None:
    registry = Registry(MemoryStore())
    first, second = small_guess(emoji), small_guess(emoji, 1)
    publish_guess(registry.store, first)
    plan = planned(write(FOX % init), registry, base=base)
    spec = plan.specs[0].spec
    assert (spec.init, spec.start_digest) == (init, first.digest)
    before = spec.fingerprint
    submit_plan(plan, registry, base_model="emoji")
    publish_guess(registry.store, second)
    assert spec.fingerprint == before
    assert load_guess(registry.store, first.digest) == first
    assert planned(write(FOX % init), registry, base=base).specs[0].spec.start_digest == second.digest
    assert planned(write(FOX % "'red fox'"), registry, base=base).specs[0].spec.start_digest is None


def test_auto_starts_only_those_kinds_from_a_guess_for_which_it_is_better(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, emoji: BaseModel, tmp_path: Path
) -> None:
    guess = small_guess(emoji, kinds=("style",))
    with_guess = with_file(base, tmp_path, guess.data)
    style = FOX.replace("images", "kind: style, images")
    digests = [planned(write(one % init), base=with_guess).specs[0].spec.start_digest
               for one, init in ((FOX, "auto"), (style, "auto"), (FOX, "guess"))]  # fmt: skip
    assert digests == [None, guess.digest, guess.digest]


def test_the_guess_in_the_base_models_folder_is_put_into_the_store_with_the_job(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, emoji: BaseModel, tmp_path: Path
) -> None:
    registry, shipped = Registry(MemoryStore()), small_guess(emoji)
    with_guess = with_file(base, tmp_path, shipped.data)
    plan = planned(write(FOX % "guess"), registry, base=with_guess)
    assert plan.specs[0].spec.start_digest == shipped.digest
    submit_plan(plan, registry, base_model="emoji")
    assert load_guess(registry.store, shipped.digest) == shipped
    assert current_guess(registry.store, emoji.revision) is None
    own = small_guess(emoji, 1)
    publish_guess(registry.store, own)
    again = planned(write(FOX % "guess"), registry, base=with_guess)
    assert again.specs[0].spec.start_digest == own.digest
    assert again.guesses == {}


@pytest.mark.parametrize("field", ["init: guess", "recipe: instant"])
def test_what_asks_for_a_guess_needs_one(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, emoji: BaseModel, tmp_path: Path, field: str
) -> None:
    manifest = write(f"  - {{name: fox, images: foxes, {field}}}\n")
    with pytest.raises(ManifestError, match=r"m\.yaml:4: .*there is no guess for emoji: train one with `textinv guess"):
        planned(manifest, Registry(MemoryStore()), base=base)
    other = with_file(base, tmp_path, small_guess(emoji, base_revision="f" * 64).data)
    with pytest.raises(ManifestError, match=r"is a guess for another base model \(ffffffffffff\) than emoji"):
        planned(manifest, base=other)
    with pytest.raises(ManifestError, match="cannot be read as a guess"):
        planned(manifest, base=with_file(base, tmp_path, b"nothing"))
    assert planned(write(FOX % "auto"), base=other).specs[0].spec.start_digest is None


def test_the_recipe_instant_takes_no_step_and_starts_from_the_guess_unless_told_otherwise(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, emoji: BaseModel, tmp_path: Path
) -> None:
    with_guess = with_file(base, tmp_path, small_guess(emoji).data)
    instant = "  - {name: fox, images: foxes, class_word: fox, recipe: instant%s}\n"
    spec = planned(write(instant % ""), base=with_guess).specs[0].spec
    assert (spec.init, spec.max_steps, spec.min_steps, spec.stop.rule) == ("guess", 0, 0, "fixed")
    assert planned(write(instant % ", init: cat"), base=base).specs[0].spec.init == "cat"
    assert planned(write(instant % ""), base=with_guess).estimate.sample_passes == 0


def test_a_stale_guess_is_nobodys_to_start_from_and_the_plan_says_so(
    foxes: Path, write: Write, planned: Planned, base: BaseFacts, emoji: BaseModel
) -> None:
    registry = Registry(MemoryStore())
    given = share(registry.store, 0, emoji.revision)
    named = (LearnedFrom(share=given.id, tenant="acme", pictures=()),)
    guess = small_guess(emoji, shares=named)
    publish_guess(registry.store, guess)
    assert planned(write(FOX % "auto"), registry, base=base).specs[0].spec.start_digest == guess.digest
    withdraw(registry.store, [given], TAKEN_BACK)
    stale = rf"the guess {guess.digest[:12]} is stale, as 1 of the 1 concepts .*`textinv guess train --base emoji`"
    for asks in ("init: guess", "recipe: instant"):
        with pytest.raises(ManifestError, match=stale):
            planned(write(f"  - {{name: fox, images: foxes, {asks}}}\n"), registry, base=base)
    plan = planned(write(FOX % "auto"), registry, base=base)
    assert (plan.specs[0].spec.init, plan.specs[0].spec.start_digest) == ("auto", None)
    assert plan.notes[0].startswith("1 of 1 with init: auto start from words alone: the guess")
    assert planned(write(FOX % "'red fox'"), registry, base=base).notes == []
