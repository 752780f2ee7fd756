"""The rules by which the demo base is measured, put to pictures whose truth is known."""

import json
from pathlib import Path

import numpy as np
import pytest

from textinv.demo.icons import OBJECTS
from textinv.demo.making.drawing import DemoBase, load_demo_base
from textinv.demo.making.drawing_figures import (
    FIGURES,
    background_is_right,
    background_questions,
    hue_is_right,
    hue_of,
    hue_questions,
    object_questions,
    pair_questions,
    real_pictures,
    sheet_prompts,
    two_questions,
)
from textinv.demo.making.measure import measure


@pytest.fixture(scope="module")
def base() -> DemoBase:
    return load_demo_base(unet=Path("no-unet"))


def test_the_background_rule_is_right_about_every_real_picture(base: DemoBase) -> None:
    questions = background_questions(40)
    assert background_is_right(base, real_pictures(questions), questions).all()


def test_the_background_rule_notices_another_background(base: DemoBase) -> None:
    asked, shown = background_questions(10)[:9], background_questions(10)[1:]
    assert not background_is_right(base, real_pictures(shown), asked).any()


def test_the_hue_rule_is_right_about_real_pictures(base: DemoBase) -> None:
    questions = hue_questions(48)
    assert hue_is_right(base, real_pictures(questions), questions).mean() > 0.9


def test_a_gray_picture_has_no_hue() -> None:
    picture = np.full((64, 64, 3), 255, np.uint8)
    picture[20:40, 20:40] = 90
    assert hue_of(picture) is None


def test_every_question_has_its_answer_among_the_alternatives() -> None:
    asked = [*object_questions(1), *two_questions(20), *pair_questions(20), *hue_questions(20)]
    assert all(question.right in question.alternatives for question in asked)
    assert all(len(set(question.alternatives)) == len(question.alternatives) for question in asked)
    assert {question.right for question in object_questions(1)} == {name.replace("-", " ") for name in OBJECTS}
    assert {len(scene.scene.things) for scene in two_questions(5)} == {2}


@pytest.mark.load
def test_the_clip_tells_real_pictures_far_better_than_chance(base: DemoBase) -> None:
    for name, chance in (("object", 1 / len(OBJECTS)), ("two", 1 / 4), ("pair", 1 / len(OBJECTS))):
        ask, rule, _ = FIGURES[name]
        questions = ask(1 if name == "object" else 24)
        assert rule(base, real_pictures(questions), questions).mean() > 2 * chance


def test_the_sheet_has_64_prompts_of_trained_objects() -> None:
    prompts = sheet_prompts()
    assert len(prompts) == 64
    assert sheet_prompts() == prompts


@pytest.mark.load
def test_a_base_without_a_unet_is_measured_as_far_as_it_goes(base: DemoBase, tmp_path: Path) -> None:
    figures = measure(base, tmp_path, fast=True)
    assert figures == json.loads((tmp_path / "measured.json").read_text())
    assert 0.3 < figures["clip top-1 of 128"] <= 1
    assert figures["vae psnr dB"] > 20
    assert "drawing" not in figures
