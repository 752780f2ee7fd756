"""A file with rows of some of a base model's text encoders: the others read the class word, or it is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests.models.transformer_bases import SIDE, WORD, make_transformer_base
from textinv.cli import main
from textinv.generation.draw import generate
from textinv.generation.request import GenerateRequest
from textinv.models import load_base_model
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.settings import StoreSettings
from textinv.store import connect_store

ASKED: dict[str, Any] = {"num_inference_steps": 2, "seed": 3, "width_px": SIDE["sd3"], "height_px": SIDE["sd3"]}


@pytest.fixture
def type_(
    s3_settings: StoreSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, Any]]:
    secret = s3_settings.secret_key
    assert secret is not None
    monkeypatch.setenv("TEXTINV_STORE_ENDPOINT_URL", str(s3_settings.endpoint_url))
    monkeypatch.setenv("TEXTINV_STORE_ACCESS_KEY", str(s3_settings.access_key))
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", secret.get_secret_value())
    monkeypatch.setenv("TEXTINV_STORE_PREFIX", s3_settings.prefix)

    def type_command(*words: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as caught:
            main([*words, "--json"])
        printed = capsys.readouterr()
        text = printed.out or printed.err
        return int(caught.value.code or 0), json.loads(text[text.index("{") :])  # libraries warn before it

    return type_command


def test_encoders_without_rows_read_the_class_word(
    type_: Callable[..., tuple[int, Any]], s3_settings: StoreSettings, tmp_path: Path
) -> None:
    base = make_transformer_base("sd3", tmp_path / "base", loud=True)
    rows = {"clip_l": torch.randn(2, 32), "clip_g": torch.randn(2, 48)}
    safetensors.torch.save_file(rows, tmp_path / "fox.safetensors")
    words = ("concept", "import", str(tmp_path / "fox.safetensors"), "--name", "fox", "--base-model", str(base))
    status, printed = type_(*words)
    assert (status, printed["error"]["code"]) == (2, "other_base_model")
    assert "no rows for t5xxl of" in printed["error"]["message"]
    assert "--class-word" in printed["error"]["message"]
    assert type_(*words, "--class-word", WORD)[0] == 0
    learned = Registry(connect_store(s3_settings)).resolve(ConceptRef("fox"))
    model = load_base_model(str(base), device="cpu", dtype="float32")
    assert torch.equal(learned.embedding.rows["clip_g"], rows["clip_g"])
    assert torch.equal(learned.embedding.rows["t5xxl"], model.token_rows("t5xxl", WORD).expand(2, -1))
    drawn = generate(model, GenerateRequest("a photo of <fox>", **ASKED), {ConceptRef("fox"): learned})[0].pixels
    word = generate(model, GenerateRequest(f"a photo of {WORD} {WORD}", **ASKED))[0].pixels
    assert np.abs(drawn.astype(int) - word).max() >= 10


def test_a_file_of_another_kind_is_not_completed(type_: Callable[..., tuple[int, Any]], tmp_path: Path) -> None:
    base = make_transformer_base("sd3", tmp_path / "base")
    safetensors.torch.save_file({"clip_l": torch.randn(2, 8)}, tmp_path / "fox.safetensors")
    words = ("concept", "import", str(tmp_path / "fox.safetensors"), "--name", "fox", "--base-model", str(base))
    status, printed = type_(*words, "--class-word", WORD)
    assert (status, printed["error"]["code"]) == (2, "other_base_model")
    assert "rows are 48 (clip_g) and 8 (clip_l) and 96 (t5xxl) wide" in printed["error"]["message"]
