"""The command that writes concept pictures."""

import json
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from textinv.demo.commands import register
from textinv.errors import InputError


def run(*arguments: str) -> object:
    app = typer.Typer()
    app.callback()(lambda: None)
    register(app)
    result = CliRunner().invoke(app, ["demo-pictures", *arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return json.loads(result.stdout)


def test_pictures_captions_and_ground_truth_are_written(tmp_path: Path) -> None:
    rows = run(str(tmp_path), "--concept", "cherries", "--num", "3", "--json")
    assert isinstance(rows, list)
    assert [row["name"] for row in rows] == ["cherries"]
    assert Image.open(tmp_path / "cherries" / "2.png").size == (64, 64)
    truth = json.loads((tmp_path / "cherries.json").read_text())
    assert truth["0.png"]["things"][0]["object"] == "cherries"
    assert (tmp_path / "cherries" / "0.txt").read_text().strip() == truth["0.png"]["caption"]


def test_an_unknown_concept_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unicorn.*cherries"):
        run(str(tmp_path), "--concept", "unicorn", "--json")
