"""What a base model's folder brings for scoring: prompts of its own, and a judge."""

import json
import shutil
from pathlib import Path

import pytest

from textinv.demo import WEIGHTS
from textinv.errors import BaseModelError
from textinv.evaluation.classifier import load_classifier
from textinv.evaluation.evaluate import judge_of
from textinv.evaluation.prompts import DEFAULT, OBJECT, prompts_of
from textinv.models import load_base_model
from textinv.training.context import CONTEXT_PROMPTS


def test_a_base_model_without_prompts_of_its_own_gets_the_papers(tmp_path: Path) -> None:
    assert prompts_of(tmp_path) == prompts_of(None) == DEFAULT
    assert prompts_of(WEIGHTS).editability["object"][0] == "a {} on a blue background"


def test_prompts_that_a_file_leaves_out_stay_the_papers(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text(json.dumps({"fidelity": {"object": "one {}", "style": "in {} style"}}))
    assert prompts_of(tmp_path).fidelity["object"] == "one {}"
    assert prompts_of(tmp_path).editability["object"] == OBJECT


@pytest.mark.parametrize("body", ["[", '{"fidelty": {}}', '{"editability": {"object": ["a fox"]}}'])
def test_prompts_that_cannot_be_used_are_named_with_their_file(tmp_path: Path, body: str) -> None:
    (tmp_path / "evaluation.json").write_text(body)
    with pytest.raises(BaseModelError, match=r"evaluation\.json cannot be read"):
        prompts_of(tmp_path)


def test_nothing_is_judged_by_what_the_context_term_trains_on() -> None:
    for prompts in (DEFAULT, prompts_of(WEIGHTS)):
        assert not {line for lines in prompts.editability.values() for line in lines}.intersection(CONTEXT_PROMPTS)


def test_a_judge_is_found_in_the_folder_of_its_base_model_and_nowhere_else(tmp_path: Path) -> None:
    assert judge_of(load_base_model("emoji", device="cpu")) is load_classifier(WEIGHTS / "judge")
    copied = shutil.copytree(WEIGHTS, tmp_path / "base", ignore=shutil.ignore_patterns("judge"))
    assert judge_of(load_base_model(str(copied), device="cpu")) is None


def test_a_judge_that_cannot_be_loaded_is_named_with_its_folder(tmp_path: Path) -> None:
    folder = shutil.copytree(WEIGHTS / "judge", tmp_path / "judge")
    (folder / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(BaseModelError, match="judge cannot be loaded"):
        load_classifier(folder)
