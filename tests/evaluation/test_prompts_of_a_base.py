"""Which prompts a concept is scored with: those for photos, unless a base model brings others."""

from pathlib import Path

from textinv.demo import WEIGHTS
from textinv.evaluation.prompts import prompts_of


def test_a_base_model_is_asked_for_photos_unless_it_knows_other_things(tmp_path: Path) -> None:
    for folder in (tmp_path, None):
        assert prompts_of(folder).fidelity["object"] == "a photo of {}"
        assert sum("photo" in line for line in prompts_of(folder).editability["object"]) == 4
    assert prompts_of(WEIGHTS).editability != prompts_of(None).editability


def test_a_base_models_own_prompts_are_read(tmp_path: Path) -> None:
    (tmp_path / "evaluation.json").write_text('{"fidelity": {"object": "an icon of {}", "style": "icons like {}"}}')
    assert prompts_of(tmp_path).fidelity["object"] == "an icon of {}"
