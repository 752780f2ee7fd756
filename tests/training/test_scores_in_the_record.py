"""What is learned is scored at the end, and a score that fails costs nothing but itself."""

import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from tests.evaluation.tiny_encoders import clip_folder, dino_folder
from tests.models.tiny_bases import make_base
from textinv.embedding import Embedding
from textinv.errors import SettingsError, TrainingError
from textinv.evaluation import Drawing, Learned, evaluate, own_scorer
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.training import Scorer, Work
from textinv.training.train import learn

QUICK = Drawing(num_images=1, num_inference_steps=1)
SHORT = {"max_steps": 1, "min_steps": 1, "resolution_px": 32, "timesteps": (0, 1000)}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    """A base model as most are: without a CLIP of its own."""
    return load_base_model(str(make_base("sd1", tmp_path_factory.mktemp("tiny"))), device="cpu", dtype="float32")


def undrawable(model: BaseModel) -> BaseModel:
    """The same model, which must not be asked for a picture."""
    refusing = copy.copy(model)

    def refuse(*_: object) -> Any:
        raise AssertionError("something is drawn")

    for part in ("encode_text", "predict", "decode_latents"):
        setattr(refusing, part, refuse)
    return refusing


def scores_by(scorer: Scorer, model: BaseModel, work: Work) -> dict[str, Any]:
    """What a scorer says of a concept whose rows are those of a word."""
    rows = {name: model.token_rows(name, "ball").float() for name in model.encoder_names}
    return scorer(work.spec, work.pictures, Embedding(rows), "ball")


def test_the_record_holds_both_opinions_with_both_anchors(model: BaseModel, works: Any) -> None:
    work = works("disk", max_steps=1, min_steps=1)
    record = learn(model, [work], num_slots=1, scorer=own_scorer(model, QUICK)).concepts["disk"].record
    (own,) = record["evaluation"]["encoders"]
    assert {"fidelity", "real_to_real", "initializer_fidelity", "editability"} < set(own)
    assert {"shows", "editability"} <= set(record["evaluation"]["judge"])
    assert record["evaluation"]["anchor_word"] == "ball"
    assert record["evaluation"]["seconds"] > 0


@pytest.mark.parametrize("class_word", [None, "key"])
def test_words_that_were_found_are_the_anchor(class_word: str | None, model: BaseModel, works: Any) -> None:
    work = works("found", max_steps=1, min_steps=1, init="auto", class_word=class_word)
    record = learn(model, [work], num_slots=1, scorer=own_scorer(model, QUICK)).concepts["found"].record
    (own,) = record["evaluation"]["encoders"]
    assert record["evaluation"]["anchor_word"] == record["started_from"] != class_word
    assert "initializer_fidelity" in own
    assert ("editability" in own) == (class_word is not None)


def test_a_manifest_may_say_that_nothing_is_scored(model: BaseModel, works: Any) -> None:
    work = works("plain", max_steps=1, min_steps=1, evaluate=False)
    record = learn(model, [work], num_slots=1, scorer=own_scorer(model, QUICK)).concepts["plain"].record
    assert "evaluation" not in record


def test_being_scored_or_not_is_no_other_spec(works: Any) -> None:
    assert works("a").spec.fingerprint == works("a", evaluate=False).spec.fingerprint


def test_a_concept_whose_scoring_fails_is_learned_all_the_same(model: BaseModel, works: Any) -> None:
    broken = copy.copy(model)

    def cannot_draw(latents_BCHW: Tensor) -> Tensor:
        raise RuntimeError("not enough memory")

    broken.decode_latents = cannot_draw  # type: ignore[method-assign]
    done = learn(broken, [works("kept", max_steps=1, min_steps=1)], num_slots=1, scorer=own_scorer(broken, QUICK))
    assert "not enough memory" in done.concepts["kept"].record["evaluation"]["error"]["message"]
    assert not done.errors


def test_an_error_of_foreign_code_while_scoring_is_told_with_what_can_be_said(
    tiny: BaseModel, works: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> Any:
        raise MemoryError("too little")

    monkeypatch.setattr("textinv.evaluation.scorer.evaluate", failing)
    found = scores_by(own_scorer(tiny, QUICK), tiny, works("kept"))
    assert found["error"] == {"code": TrainingError.code, "message": "MemoryError: too little"}
    assert found["norm_ratio"]["text_encoder"] > 0


def test_without_an_encoder_nothing_is_drawn_and_the_record_says_why_and_what_is_known(
    tiny: BaseModel, works: Any
) -> None:
    evaluation = scores_by(own_scorer(undrawable(tiny), QUICK), tiny, works("kept"))
    assert evaluation["norm_ratio"]["text_encoder"] > 0
    assert evaluation["anchor_word"] == "ball"
    assert evaluation["error"]["code"] == SettingsError.code
    assert "no CLIP of its own" in evaluation["error"]["message"]
    assert "TEXTINV_ENCODERS" in evaluation["error"]["message"]
    assert "encoders" not in evaluation
    done = learn(tiny, [works("kept", **SHORT)], num_slots=1, scorer=own_scorer(tiny, QUICK))
    assert done.concepts["kept"].record["evaluation"]["error"] == evaluation["error"]
    assert not done.errors


def test_scoring_without_an_encoder_is_an_error_before_anything_is_drawn(tiny: BaseModel, works: Any) -> None:
    learned = Learned(Embedding({"text_encoder": tiny.token_rows("text_encoder", "ball").float()}), "object", "ball")
    with pytest.raises(SettingsError, match="--encoder"):
        evaluate(undrawable(tiny), learned, works("a").pictures)


def test_folders_of_encoders_score_what_is_learned_on_any_base_and_are_loaded_once(
    tiny: BaseModel, works: Any, tmp_path: Path
) -> None:
    folders = [clip_folder(tmp_path / "clip"), dino_folder(tmp_path / "dino")]
    scorer, given_out = own_scorer(tiny, QUICK, folders), []

    def score_and_take_away(*given: Any) -> dict[str, Any]:
        given_out.append(scorer(*given))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return given_out[-1]

    done = learn(tiny, [works("one", **SHORT), works("two", **SHORT)], num_slots=1, scorer=score_and_take_away)
    for name in ("one", "two"):
        evaluation = done.concepts[name].record["evaluation"]
        clip, dino = evaluation["encoders"]
        assert {"fidelity", "real_to_real", "initializer_fidelity", "editability"} < set(clip)
        assert {"fidelity", "real_to_real", "initializer_fidelity"} < set(dino)
        assert [clip["encoder"], dino["encoder"]] == list(map(str, folders))
        assert {"norm_ratio", "anchor_word", "seconds"} < set(evaluation)
        assert "error" not in evaluation


def test_a_folder_of_no_encoder_is_named_in_the_record_and_nothing_is_drawn(
    tiny: BaseModel, works: Any, tmp_path: Path
) -> None:
    for folder, reason in ((tmp_path, "holds no CLIP or DINO"), (tmp_path / "absent", "is not a folder")):
        evaluation = scores_by(own_scorer(undrawable(tiny), QUICK, [folder]), tiny, works("kept"))
        assert f"{folder} {reason}" in evaluation["error"]["message"]
        assert {"norm_ratio", "anchor_word"} < set(evaluation)
        done = learn(tiny, [works("kept", **SHORT)], num_slots=1, scorer=own_scorer(tiny, QUICK, [folder]))
        assert done.concepts["kept"].record["evaluation"]["error"] == evaluation["error"]
        assert not done.errors


def test_where_only_the_classifier_of_the_demo_base_can_judge_it_does(model: BaseModel, works: Any) -> None:
    blind = copy.copy(model)
    blind.clip = None
    evaluation = scores_by(own_scorer(blind, QUICK), blind, works("kept"))
    assert evaluation["encoders"] == []
    assert {"shows", "editability"} <= set(evaluation["judge"])
