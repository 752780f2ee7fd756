"""What a person wrote becomes one complete spec per concept: the concept, then the defaults, then the recipe."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.plan.conftest import BASE
from textinv.embedding import Embedding, export_embedding
from textinv.errors import ManifestError
from textinv.plan import Plan, TrainSpec
from textinv.plan.recipes import INSTANT, RECIPES, steps_between_looks
from textinv.plan.resolve import BaseFacts
from textinv.plan.templates import OBJECT, STYLE

Planned = Callable[..., Plan]
Write = Callable[..., Path]
FOX = "  - name: fox\n    images: foxes\n"


@pytest.fixture
def spec_of(foxes: Path, write: Write, planned: Planned) -> Callable[..., TrainSpec]:
    """The spec of a concept with these fields, under these defaults."""

    def spec(fields: str = "", defaults: str = "") -> TrainSpec:
        lines = "".join(f"    {field}\n" for field in fields.split("; ") if field)
        return planned(write(FOX + lines, defaults)).specs[0].spec

    return spec


SpecOf = Callable[..., TrainSpec]


def test_a_concept_that_says_nothing_gets_the_balanced_recipe(spec_of: SpecOf) -> None:
    spec, recipe = spec_of(), RECIPES["balanced"]
    assert (spec.recipe, spec.max_steps, spec.min_steps) == ("balanced", recipe.max_steps, recipe.min_steps)
    assert spec.num_vectors == recipe.num_vectors
    assert (spec.optimizer.kind, spec.optimizer.kappa) == (recipe.optimizer, recipe.kappa)
    assert (spec.kind, spec.templates, spec.init) == ("object", OBJECT, "auto")
    assert (spec.resolution_px, spec.base_revision, spec.crop, spec.flip) == (32, "base-1", "center", False)


def test_sizes_are_told_where_the_base_model_takes_them_and_no_other_spec_changes(
    foxes: Path, write: Write, planned: Planned
) -> None:
    path = write(FOX)
    plain, told = (planned(path, base=replace(BASE, takes_sizes=takes)).specs[0].spec for takes in (False, True))
    assert (plain.tells_sizes, told.tells_sizes) == (False, True)
    assert "tells_sizes" not in plain.model_dump()
    assert plain.fingerprint == planned(path).specs[0].spec.fingerprint != told.fingerprint


def test_the_concept_wins_over_the_defaults_and_these_over_the_recipe(spec_of: SpecOf) -> None:
    spec = spec_of("seed: 5; advanced: {kappa: 0.5}", "seed: 1, recipe: fast, max_steps: 77, advanced: {kappa: 0.1}")
    assert (spec.seed, spec.optimizer.kappa, spec.max_steps) == (5, 0.5, 77)
    assert spec.min_steps == RECIPES["fast"].min_steps


def test_advanced_fields_of_defaults_and_concept_are_taken_one_by_one(spec_of: SpecOf) -> None:
    spec = spec_of("advanced: {stop_window: 9}", "advanced: {kappa: 0.25, stop_window: 3}")
    assert (spec.optimizer.kappa, spec.stop.window) == (0.25, 9)


def test_zero_and_false_are_values_that_were_written(spec_of: SpecOf) -> None:
    spec = spec_of("seed: 0; flip: false; advanced: {kappa: 0}", "seed: 4, flip: true, advanced: {kappa: 0.25}")
    assert (spec.seed, spec.flip, spec.optimizer.kappa) == (0, False, 0)


def test_every_recipe_is_complete_and_in_range(spec_of: SpecOf) -> None:
    for name, recipe in RECIPES.items():
        spec = spec_of(f"recipe: {name}; init: auto")
        assert spec.min_steps > 0 or name == INSTANT
        assert spec.min_steps <= spec.max_steps == recipe.max_steps
        assert 0 <= spec.timesteps[0] < spec.timesteps[1] <= 1000
        assert 0 < spec.optimizer.learning_rate < math.pi / 2
        cost = spec.stop.num_samples / (2 * spec.samples_per_step * spec.stop.every_steps)
        assert cost <= 0.2


def test_a_style_is_captioned_as_a_style_unless_told_otherwise(spec_of: SpecOf) -> None:
    assert spec_of("kind: style").templates == STYLE
    assert spec_of("kind: style; templates: object").templates == OBJECT
    assert spec_of("templates: ['{} here', 'there {}']").templates == ("{} here", "there {}")
    assert len(set(OBJECT)) == len(OBJECT) == 27
    assert len(set(STYLE)) == len(STYLE) == 17
    assert all(line.count("{}") == 1 for line in OBJECT + STYLE)


def test_rows_start_from_the_class_word_unless_told_otherwise(spec_of: SpecOf) -> None:
    assert spec_of("class_word: red fox").init == "red fox"
    assert spec_of("class_word: red fox; init: auto").init == "auto"
    assert spec_of("init: ' small dog '").init == "small dog"


def test_another_optimizer_gets_a_rate_of_its_own_kind(spec_of: SpecOf) -> None:
    spec = spec_of("advanced: {optimizer: adamw}")
    assert (spec.optimizer.learning_rate, spec.optimizer.kappa) == (5e-3, 0)
    assert spec_of("advanced: {optimizer: adamw}; learning_rate: 0.5").optimizer.learning_rate == 0.5


def test_fewer_steps_than_the_recipes_least_are_possible(spec_of: SpecOf) -> None:
    spec = spec_of("recipe: faithful; max_steps: 5")
    assert (spec.min_steps, spec.max_steps) == (5, 5)


def test_looks_at_the_fixed_batch_follow_from_the_samples_per_step(spec_of: SpecOf) -> None:
    assert spec_of("samples_per_step: 1; advanced: {stop_samples: 8}").stop.every_steps == 20
    assert spec_of("stop: fixed; advanced: {stop_samples: 1}").stop.num_samples == 1
    assert spec_of("samples_per_step: 64").stop.every_steps == 1
    assert spec_of("advanced: {stop_every: 7}").stop.every_steps == 7
    assert steps_between_looks(4, 8) == 5


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("advanced: {optimizer: adamw, kappa: 0.1}", "it is for sphere, but the optimizer is adamw"),
        ("learning_rate: 5", "more than a quarter turn"),
        ("advanced: {context_weight: 0.1}", "needs a class_word"),
        ("min_steps: 500", "500 is more than max_steps (400)"),
        ("advanced: {stop_samples: 4}", "4 samples are too few to stop by: write 8 or more, or stop: fixed"),
        ("init: <cat>", "the store, which cannot be reached here"),
        ("init: <Cat>", "<cat> is in the store, which cannot be reached here"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields: str, said: str, spec_of: SpecOf) -> None:
    with pytest.raises(ManifestError) as caught:
        spec_of(fields)
    assert said in caught.value.message
    assert caught.value.details["problems"][0]["line"] == 6


def test_a_class_word_that_names_a_version_that_cannot_be_is_refused(spec_of: SpecOf) -> None:
    with pytest.raises(ManifestError, match="a version of 9 digits"):
        spec_of("class_word: <cat@999999999>")


def test_a_contradiction_in_the_defaults_is_reported_once_and_there(spec_of: SpecOf) -> None:
    with pytest.raises(ManifestError) as caught:
        spec_of("", "learning_rate: 5")
    (problem,) = caught.value.details["problems"]
    assert (problem["line"], problem["field"]) == (2, "defaults.learning_rate")


def test_a_spec_is_plain_json_and_back(spec_of: SpecOf) -> None:
    spec = spec_of("class_word: fox; advanced: {context_weight: 0.1}")
    again = TrainSpec.model_validate_json(spec.model_dump_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint


@pytest.mark.parametrize(
    "fields",
    [
        "seed: 1",
        "num_vectors: 2",
        "init: dog",
        "class_word: dog; init: auto",
        "recipe: fast",
        "flip: true",
        "crop: random",
        "kind: style",
        "resolution_px: 40",
        "learning_rate: 0.081",
        "max_steps: 151",
        "stop: fixed",
        "templates: ['a {}']",
        "advanced: {timesteps: [300, 999]}",
        "class_word: fox; advanced: {context_weight: 0.5}",
        "advanced: {stop_samples: 9}",
    ],
)
def test_whatever_decides_the_result_is_in_the_fingerprint(fields: str, spec_of: SpecOf) -> None:
    assert spec_of(fields).fingerprint != spec_of().fingerprint


def test_what_does_not_decide_the_result_is_not_in_the_fingerprint(spec_of: SpecOf, foxes: Path) -> None:
    spec = spec_of("preview_every: 10")
    before = spec_of().fingerprint
    assert spec.fingerprint == before
    assert spec_of("recipe: balanced; seed: 0; kind: object; crop: center").fingerprint == before
    (foxes / "0.png").rename(foxes / "00.png")
    assert spec_of().fingerprint == before
    renamed = spec.model_copy(update={"base_model": "another/name/of/the/same", "recipe": "mine"})
    assert renamed.fingerprint == before


def test_pictures_bytes_captions_and_the_base_revision_are_in_the_fingerprint(spec_of: SpecOf, foxes: Path) -> None:
    before = spec_of()
    assert before.model_copy(update={"base_revision": "base-2"}).fingerprint != before.fingerprint
    assert before.model_copy(update={"name": "fox-2"}).fingerprint != before.fingerprint
    (foxes / "1.txt").write_text("{} at night")
    captioned = spec_of().fingerprint
    assert captioned != before.fingerprint
    (foxes / "1.txt").unlink()
    (foxes / "2.png").write_bytes((foxes / "2.png").read_bytes() + b"\0")
    assert spec_of().fingerprint not in (captioned, before.fingerprint)


def test_the_fingerprint_of_a_spec_never_changes_by_accident() -> None:
    spec = TrainSpec.model_validate_json(
        """{"name": "fox", "kind": "object", "pictures": [{"digest": "aa", "name": "a.png", "caption": "a {}"}],
        "base_model": "emoji", "base_revision": "r", "class_word": "fox", "init": "fox", "num_vectors": 1,
        "resolution_px": 64, "crop": "center", "flip": false, "templates": ["a {}"], "samples_per_step": 4,
        "max_steps": 60, "min_steps": 20, "optimizer": {"kind": "sphere", "learning_rate": 0.08, "schedule": "linear"},
        "timesteps": [300, 1000], "stop": {"rule": "dvar", "every_steps": 5, "window": 6, "threshold": 0.15,
        "num_samples": 8}, "seed": 0, "recipe": "fast"}"""
    )
    assert spec.fingerprint == "d76ff09ffb62858b40959e057e75b9400c5cfb63c60b45aa763297806a289cb2"


TWO_ENCODERS = replace(BASE, row_widths={"clip_l": 8, "t5xxl": 16})


def test_encoders_are_kept_in_the_base_models_order_and_left_out_where_all_learn(
    foxes: Path, write: Write, planned: Planned
) -> None:
    def spec(stated: str, base: BaseFacts = TWO_ENCODERS) -> TrainSpec:
        return planned(write(FOX + stated), base=base).specs[0].spec

    plain = spec("")
    assert plain.encoders == spec("    encoders: [t5xxl, clip_l]\n").encoders == ()
    assert spec("    encoders: [t5xxl]\n").encoders == ("t5xxl",)
    assert spec("    encoders: [t5xxl]\n").fingerprint != plain.fingerprint
    assert spec("", replace(TWO_ENCODERS, learns=("clip_l",))).encoders == ("clip_l",)
    assert spec("    encoders: [clip_l, t5xxl]\n", replace(TWO_ENCODERS, learns=("clip_l",))).encoders == ()


def test_an_encoder_that_the_base_model_does_not_have_is_an_error_with_its_line(
    foxes: Path, write: Write, planned: Planned
) -> None:
    with pytest.raises(ManifestError) as caught:
        planned(write(FOX + "    encoders: [t5]\n"), base=TWO_ENCODERS)
    (problem,) = caught.value.details["problems"]
    assert problem["line"] == 6
    assert "no text encoder 't5': write some of clip_l, t5xxl" in problem["message"]


def test_a_plan_says_what_a_base_model_is_known_for_and_what_the_context_term_does_not_reach(
    foxes: Path, write: Write, planned: Planned
) -> None:
    base = replace(TWO_ENCODERS, compared=("clip_l",), note="rows alone reach little here")
    concept = FOX + "    class_word: fox\n"
    held = planned(write(concept + "    advanced: {context_weight: 0.1}\n"), base=base).notes
    assert held[0] == "rows alone reach little here"
    assert held[1] == "context_weight compares words of clip_l only: it does not hold back what t5xxl learns"
    without = planned(write(concept + "    advanced: {context_weight: 0}\n"), base=base).notes
    of_clip = planned(write(concept + "    advanced: {context_weight: 0.1}\n    encoders: [clip_l]\n"), base=base).notes
    assert list(without) == list(of_clip) == ["rows alone reach little here"]
    assert not planned(write(concept)).notes


def test_rows_behind_the_encoders_are_asked_for_and_the_plan_says_who_cannot_read_them(
    foxes: Path, write: Write, planned: Planned
) -> None:
    concept = FOX + "    class_word: fox\n    advanced: {context_weight: 0.1}\n"
    plain, behind = planned(write(concept)), planned(write(concept + "    rows: output\n"))
    assert "rows" not in plain.specs[0].spec.model_dump()
    assert behind.specs[0].spec.rows == "output"
    assert behind.specs[0].spec.fingerprint != plain.specs[0].spec.fingerprint
    assert list(behind.notes) == [
        "1 of 1 with rows: output: other programs cannot read what these learn (OneTrainer can)",
        "context_weight does nothing with rows: output: rows do not change what other words of a prompt say",
    ]


def test_rows_behind_an_encoder_that_is_heard_as_one_vector_are_an_error_with_its_line(
    foxes: Path, write: Write, planned: Planned
) -> None:
    base = replace(TWO_ENCODERS, whole=("clip_l",))
    assert planned(write(FOX + "    rows: output\n"), base=base).specs[0].spec.rows == "output"
    with pytest.raises(ManifestError) as caught:
        planned(write(FOX + "    encoders: [clip_l]\n    rows: output\n"), base=base)
    (problem,) = caught.value.details["problems"]
    assert problem["line"] == 7
    assert "of clip_l the base model reads only one vector for the whole text" in problem["message"]


def test_rows_before_the_encoders_do_not_start_from_rows_behind_them(
    foxes: Path, write: Write, planned: Planned, tmp_path: Path
) -> None:
    rows = {"text_encoder": torch.zeros(1, 8), "text_encoder_out": torch.ones(1, 8)}
    (file,) = export_embedding(Embedding(rows), "old", "auto", tmp_path)
    concept = FOX + f"    init: file:{file}\n"
    assert planned(write(concept + "    rows: output\n")).specs[0].spec.init_embedding is not None
    with pytest.raises(ManifestError, match="learn with rows: output to start from them"):
        planned(write(concept))
