"""What `textinv generate` says of layers and sizes, on a tiny base model and without a store."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.models.tiny_bases import make_base
from textinv.cli import main


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_base("sdxl", tmp_path_factory.mktemp("base")))


def drawn(out: Path, base: str, *options: str) -> np.ndarray:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "a fox", "-o", str(out), "--steps", "2", "--base-model", base, "--json", *options])
    assert caught.value.code == 0
    return np.asarray(Image.open(out)).astype(int)


def test_a_layer_and_sizes_can_be_asked_for(base: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = drawn(tmp_path / "plain.png", base)
    capsys.readouterr()
    asked = ["--clip-skip", "2", "--original-size", "160x96", "--crop-top-left", "24,8", "--target-size", "48x64"]
    told = drawn(tmp_path / "told.png", base, *asked)
    infotext = json.loads(capsys.readouterr().out)[0]["infotext"]
    assert 'Original size: 160x96, Crop top left: "24, 8", Target size: 48x64, Clip skip: 2' in infotext
    assert (plain != told).any()


def test_one_thing_at_a_time_is_waited_for(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []
    under_way: list[str] = []

    @contextmanager
    def waiting_for(what: str) -> Iterator[None]:
        assert under_way == [], "a terminal may show one wait only"
        waits.append(what.split()[0])
        under_way.append(what)
        yield
        under_way.clear()

    monkeypatch.setattr("textinv.cli.generate.waiting_for", waiting_for)
    drawn(tmp_path / "one.png", base)
    assert waits == ["looking", "loading", "drawing"]


def test_an_alias_says_which_layer_is_read(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTINV_BASE_MODELS", f"second={base}?clip_skip=2")
    by_alias = drawn(tmp_path / "alias.png", "second")
    assert (by_alias == drawn(tmp_path / "flag.png", base, "--clip-skip", "2")).all()
    assert (by_alias == drawn(tmp_path / "back.png", "second", "--clip-skip", "2")).all()
    assert (drawn(tmp_path / "own.png", "second", "--clip-skip", "1") == drawn(tmp_path / "plain.png", base)).all()


@pytest.mark.parametrize(
    ("option", "said"), [("--original-size", "large"), ("--crop-top-left", "1x2"), ("--target-size", "0x1")]
)
def test_sizes_that_are_none_are_refused_before_anything_is_loaded(
    option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "a fox", option, said])
    assert caught.value.code == 2
    assert option.removeprefix("--").replace("-", "_") in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--bases", "near"], "--bases 'near' is neither exact nor kin"),
        ([], "the prompt names no concept, so say which base model draws it: --base-model emoji"),
    ],
)
def test_what_cannot_be_drawn_is_told_before_a_base_model_is_loaded(
    tmp_path: Path, options: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["generate", "a cup", "-o", str(tmp_path / "cup.png"), *options])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
