"""The demo base's classifier as a second opinion on what was learned."""

from typing import Any

import numpy as np
import pytest

from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.demo.judge import QUESTIONS
from textinv.evaluation.demo_judge import ASKED, DemoJudge
from textinv.evaluation.prompts import EDITABILITY
from textinv.images import Picture


def pictures_of(name: str, purpose: Any) -> list[Picture]:
    shown = concept_pictures(find_concept(name), purpose, 3)
    return [Picture(np.asarray(one.image), None, f"{name}-{place}", f"{place}.png") for place, one in enumerate(shown)]


def pixels_of(name: str) -> list[Any]:
    return [one.pixels for one in pictures_of(name, "evaluation")]


def test_it_finds_out_what_training_pictures_have_in_common() -> None:
    fox = DemoJudge("object", pictures_of("dotty-fox", "training"))
    assert {"object": "fox", "hue": "teal"}.items() <= fox.common.items()
    blueprint = DemoJudge("style", pictures_of("blueprint-style", "training"))
    assert blueprint.common["effect"] == "blueprint"


def test_other_pictures_of_the_concept_score_above_those_of_another() -> None:
    fox = DemoJudge("object", pictures_of("dotty-fox", "training"))
    same, other = (fox.scores(pixels_of(name), [], {}) for name in ("dotty-fox", "wide-owl"))
    assert same["fidelity"] > other["fidelity"] + 0.3
    assert "initializer_fidelity" not in same
    assert "editability" not in same


def test_a_prompt_is_obeyed_when_the_picture_shows_what_it_asked_for() -> None:
    fox = DemoJudge("object", pictures_of("dotty-fox", "training"))
    blue = np.full((64, 64, 3), (0, 0, 255), np.uint8)
    on_blue, on_green = (fox.scores([], [], {f"a {{}} on a {colour} background": blue}) for colour in ("blue", "green"))
    assert on_blue["editability"] > on_green["editability"]


@pytest.mark.parametrize("line", ASKED)
def test_what_a_prompt_asks_for_is_a_possible_answer(line: str) -> None:
    question, answer = ASKED[line]
    assert any(line in lines for lines in EDITABILITY.values())
    assert answer in QUESTIONS[question]
