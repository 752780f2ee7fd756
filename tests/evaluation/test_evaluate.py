"""Judging a concept with the demo base's own CLIP."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, CLIPTextModel

from tests.evaluation.tiny_encoders import clip_folder, dino_folder
from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.embedding import Embedding
from textinv.errors import SettingsError
from textinv.evaluation import Drawing, Learned, evaluate, load_encoder, own_encoder
from textinv.images import Picture
from textinv.models.base import BaseModel


@pytest.fixture(scope="module")
def model(emoji: BaseModel) -> BaseModel:
    return emoji


def real_pictures(name: str) -> list[Picture]:
    shown = concept_pictures(find_concept(name), "evaluation", 3)
    return [
        Picture(np.asarray(one.image), None, f"{name}-{index}", f"{name}-{index}") for index, one in enumerate(shown)
    ]


def test_a_concept_is_scored_beside_both_anchors_in_plain_json(model: BaseModel) -> None:
    start = {"text_encoder": model.token_rows("text_encoder", "panda").float()}
    learned = Learned(Embedding(start), "object", "panda")
    report = evaluate(
        model,
        learned,
        real_pictures("checkered-panda"),
        drawing=Drawing(num_images=2, num_inference_steps=2),
        prompts=("a {} on a blue background", "two {}"),
    )
    assert json.loads(json.dumps(report)) == report
    (scored,) = report["encoders"]
    assert scored["fidelity"] == pytest.approx(scored["initializer_fidelity"], abs=1e-3)
    assert -1 <= scored["editability"] <= 1
    assert 0 < scored["real_to_real"] <= 1
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


def test_a_folder_with_something_else_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    text_tower = clip_text_folder(tmp_path / "text")
    with pytest.raises(SettingsError, match="text holds no CLIP or DINO"):
        load_encoder(text_tower)
    mistyped = dino_folder(tmp_path / "mistyped")
    settings = json.loads((mistyped / "config.json").read_text())
    (mistyped / "config.json").write_text(json.dumps(settings | {"num_attention_heads": "three"}))
    with pytest.raises(SettingsError, match=r"mistyped holds no CLIP or DINO .* expected int, got str"):
        load_encoder(mistyped)
    damaged = dino_folder(tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(SettingsError, match="damaged holds no CLIP or DINO"):
        load_encoder(damaged)
    with pytest.raises(SettingsError, match="absent is not a folder on this machine"):
        load_encoder(tmp_path / "absent")


def clip_text_folder(folder: Path) -> Path:
    """The text tower alone, which sees no pictures."""
    whole = clip_folder(folder / "whole")
    CLIPTextModel.from_pretrained(whole).save_pretrained(folder)
    AutoTokenizer.from_pretrained(whole).save_pretrained(folder)
    return folder


def test_a_clip_folder_gives_unit_features_of_pictures_and_prompts(tmp_path: Path) -> None:
    encoder = load_encoder(clip_folder(tmp_path))
    assert encoder.reads_text
    assert encoder.size_px == 48
    assert encoder.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4), "CLIP's, not the plain one"
    assert_features(encoder.pictures(pixels_of("dotty-fox", "candy-rocket")), 24)
    assert_features(encoder.prompts(["a fox", "two rockets on a red background"]), 24)
    alone, beside = encoder.prompts(["a fox"]), encoder.prompts(["a fox", "two rockets on a red background"])
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_a_dino_folder_judges_pictures_and_leaves_editability_out(model: BaseModel, tmp_path: Path) -> None:
    encoder = load_encoder(dino_folder(tmp_path))
    assert not encoder.reads_text
    assert_features(encoder.pictures(pixels_of("dotty-fox", "candy-rocket")), 32)
    with pytest.raises(SettingsError, match="reads no text"):
        encoder.prompts(["a fox"])
    learned = Learned(Embedding({"text_encoder": model.token_rows("text_encoder", "panda").float()}), "object", "panda")
    report = evaluate(
        model,
        learned,
        real_pictures("checkered-panda"),
        encoders=(encoder,),
        drawing=Drawing(num_images=1, num_inference_steps=1),
        prompts=("two {}",),
    )
    (scored,) = report["encoders"]
    assert scored.keys() == {"encoder", "fidelity", "real_to_real", "initializer_fidelity"}
    assert scored["encoder"] == str(tmp_path)
    assert json.loads(json.dumps(report)) == report


def pixels_of(*names: str) -> list[NDArray[np.uint8]]:
    """One real picture of each concept."""
    return [real_pictures(name)[0].pixels for name in names]


def assert_features(features_PF: torch.Tensor, width: int) -> None:
    """Unit length, finite, and of different things different."""
    assert features_PF.shape == (2, width)
    assert torch.allclose(features_PF.norm(dim=-1), torch.ones(2), atol=1e-5)
    assert not torch.allclose(features_PF[0], features_PF[1], atol=1e-3)
