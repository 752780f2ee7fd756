"""Judging a concept with the demo base's own CLIP."""

import json
from pathlib import Path

import numpy as np
import pytest

from textinv.demo import WEIGHTS
from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.embedding import Embedding
from textinv.errors import SettingsError
from textinv.evaluation import Drawing, Judged, evaluate, load_encoder, own_encoder
from textinv.images import Picture
from textinv.models import load_base_model
from textinv.models.base import BaseModel


@pytest.fixture(scope="module")
def model() -> BaseModel:
    return load_base_model(str(WEIGHTS), device="cpu", dtype="float32")


def real_pictures(name: str) -> list[Picture]:
    shown = concept_pictures(find_concept(name), "evaluation", 3)
    return [
        Picture(np.asarray(one.image), None, f"{name}-{index}", f"{name}-{index}") for index, one in enumerate(shown)
    ]


def test_a_concept_is_scored_beside_both_anchors_in_plain_json(model: BaseModel) -> None:
    start = {"text_encoder": model.token_rows("text_encoder", "panda").float()}
    judged = Judged(Embedding(start), "object", "panda", start)
    report = evaluate(
        model,
        judged,
        real_pictures("checkered-panda"),
        drawing=Drawing(num_images=2, num_inference_steps=2),
        prompts=("a {} on a blue background", "two {}"),
    )
    assert json.loads(json.dumps(report)) == report
    (scored,) = report["encoders"]
    assert scored["fidelity"] == pytest.approx(scored["class_word_fidelity"], abs=1e-3)
    assert -1 <= scored["editability"] <= 1
    assert 0 < scored["real_to_real"] <= 1
    assert report["cosine_to_initializer"]["text_encoder"] == pytest.approx(1)
    assert 0.3 < report["norm_ratio"]["text_encoder"] < 3


def test_real_pictures_are_nearer_to_their_own_concept_than_to_another(model: BaseModel) -> None:
    encoder = own_encoder(model)
    fox, rocket = (
        encoder.pictures([one.pixels for one in real_pictures(name)]) for name in ("dotty-fox", "candy-rocket")
    )
    assert (fox @ fox.T).mean() > (fox @ rocket.T).mean() + 0.1
    said_fox, said_rocket = encoder.prompts([find_concept(name).description for name in ("dotty-fox", "candy-rocket")])
    assert (fox @ said_fox).mean() > (fox @ said_rocket).mean()
    assert (rocket @ said_rocket).mean() > (rocket @ said_fox).mean()


def test_a_folder_without_an_encoder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=str(tmp_path)):
        load_encoder(tmp_path)
