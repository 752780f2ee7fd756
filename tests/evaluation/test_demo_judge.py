"""The demo base's classifier as a second opinion on what was learned."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from textinv.demo import WEIGHTS
from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.demo.judge import JUDGE
from textinv.errors import BaseModelError
from textinv.evaluation.classifier import load_classifier, save_classifier
from textinv.evaluation.judge import Opinion, check_asks
from textinv.evaluation.prompts import prompts_of
from textinv.images import Picture


def pictures_of(name: str, purpose: Any) -> list[Picture]:
    shown = concept_pictures(find_concept(name), purpose, 3)
    return [Picture(np.asarray(one.image), None, f"{name}-{place}", f"{place}.png") for place, one in enumerate(shown)]


def opinion(kind: Any, name: str, purpose: Any) -> Opinion:
    return Opinion(load_classifier(JUDGE), kind, pictures_of(name, purpose))


def line(colour: str) -> str:
    return f"a {{}} on a {colour} background"


def pixels_of(name: str) -> list[Any]:
    return [one.pixels for one in pictures_of(name, "evaluation")]


def test_it_finds_out_what_training_pictures_have_in_common() -> None:
    fox = opinion("object", "dotty-fox", "training")
    assert {"object": "fox", "hue": "teal"}.items() <= fox.common.items()
    blueprint = opinion("style", "blueprint-style", "training")
    assert blueprint.common["effect"] == "blueprint"


def test_other_pictures_of_the_concept_score_above_those_of_another() -> None:
    fox = opinion("object", "dotty-fox", "training")
    same, other = (fox.scores(pixels_of(name), [], {}, {}) for name in ("dotty-fox", "wide-owl"))
    assert same["fidelity"] > other["fidelity"] + 0.3
    assert "initializer_fidelity" not in same
    assert "editability" not in same


def test_a_prompt_is_obeyed_when_the_picture_shows_what_it_asked_for() -> None:
    fox = opinion("object", "dotty-fox", "training")
    asks = prompts_of(WEIGHTS).asks
    blue = np.full((64, 64, 3), (0, 0, 255), np.uint8)
    on_blue, on_green = (fox.scores([], [], {line(colour): blue}, asks) for colour in ("blue", "green"))
    assert on_blue["editability"] > on_green["editability"]


def test_what_a_prompt_asks_for_is_a_possible_answer() -> None:
    judge, prompts = load_classifier(JUDGE), prompts_of(WEIGHTS)
    check_asks(judge, prompts.asks)
    assert set(prompts.asks) <= {line for lines in prompts.editability.values() for line in lines}
    with pytest.raises(BaseModelError, match=r"'two \{\}' asks for count: three"):
        check_asks(judge, {"two {}": ("count", "three")})


def test_a_classifier_that_is_saved_anew_answers_as_before_also_to_pictures_of_another_size(tmp_path: Path) -> None:
    judge, pixels = load_classifier(JUDGE), pixels_of("dotty-fox")
    save_classifier(judge.net, judge.config, tmp_path / "again")
    again = load_classifier(tmp_path / "again")
    for one, other in zip(judge.look(np.stack(pixels)), again.look(np.stack(pixels)), strict=True):
        assert one.probabilities["object"]["fox"] == pytest.approx(other.probabilities["object"]["fox"], abs=1e-3)
    training = pictures_of("dotty-fox", "training")
    larger = [replace(one, pixels=np.kron(one.pixels, np.ones((2, 2, 1), np.uint8))) for one in training]
    assert Opinion(again, "object", larger).common["object"] == "fox"
