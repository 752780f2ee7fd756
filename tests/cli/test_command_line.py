"""The command line: quick to start, plain about failures, JSON where a program reads it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from rich.console import Console

from textinv.cli import main
from textinv.cli.output import emit, rows_table

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "manifests" / "quickstart.yaml"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with nothing in it and no settings from elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("TEXTINV_")]:
        monkeypatch.delenv(name)
    return tmp_path


def run(*arguments: str) -> int:
    """Run a command in this process and return its exit status."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def test_the_module_can_be_run() -> None:
    command = [sys.executable, "-m", "textinv.cli", "config", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["store.bucket"] == {"value": "textinv", "origin": "default"}


def test_config_shows_values_and_where_they_came_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", "very-secret")
    assert run("--store-bucket", "mine", "config", "--json") == 0
    shown = capsys.readouterr().out
    assert "very-secret" not in shown
    told = json.loads(shown)
    assert told["store.bucket"] == {"value": "mine", "origin": "flag"}
    assert told["store.secret_key"]["origin"] == "env TEXTINV_STORE_SECRET_KEY"
    assert told["store.endpoint_url"] == {"value": None, "origin": "embedded store"}
    assert run("config") == 0
    assert "embedded store" in capsys.readouterr().out
    monkeypatch.setenv("TEXTINV_STORE_BUKET", "x")
    assert run("config") == 2
    assert "did you mean TEXTINV_STORE_BUCKET?" in capsys.readouterr().err


def test_a_good_manifest_is_validated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("validate", str(QUICKSTART)) == 0
    assert "4 concepts, 16 pictures" in capsys.readouterr().out
    assert run("validate", str(QUICKSTART), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["valid"], told["problems"]) == (True, [])


def test_mistakes_of_fields_and_pictures_are_told_together(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "fake.png").write_text("text")
    (folder / "m.yaml").write_text(
        "base_model: emoji\nconcepts:\n- name: fox\n  images: [none.png, fake.png]\n  seeed: 1\n"
        "- name: fox\n  images: x\n"
    )
    assert run("validate", "m.yaml", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert told["valid"] is False
    assert [problem["line"] for problem in told["problems"]] == [4, 4, 5, 6, 7]
    assert run("validate", "m.yaml") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "m.yaml:5: concepts[0].seeed: there is no field 'seeed': did you mean 'seed'?" in shown.err


def test_a_failure_is_told_as_json_when_json_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "none.yaml", "--json") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert json.loads(shown.err)["error"]["code"] == "invalid_manifest"
    assert run("plan", "none.yaml") == 2
    assert "error: none.yaml cannot be read" in capsys.readouterr().err


def test_problems_of_a_manifest_are_listed_in_the_json_of_a_failure(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    (folder / "m.yaml").write_text("base_model: emoji\nconcepts:\n- name: fox\n")
    assert run("plan", "m.yaml", "--json") == 2
    (problem,) = json.loads(capsys.readouterr().err)["error"]["problems"]
    assert problem == {
        "file": "m.yaml",
        "line": 3,
        "field": "concepts[0].images",
        "message": "this field is missing: write it",
    }


def test_brackets_in_messages_are_not_taken_for_markup(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "m.yaml").write_text("base_model: emoji\nconcepts:\n- name: fox\n  images: ['[red]', a]\n")
    assert run("validate", "m.yaml") == 2
    assert "'[red]'" in capsys.readouterr().err


def test_an_unknown_command_or_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("valdate") == 2
    assert run("validate", str(QUICKSTART), "--jsn") == 2
    assert run("--config", "none.toml", "config") == 2
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("textinv ")


def test_a_table_shows_figures_that_can_be_read_and_loses_no_size() -> None:
    cells = {"loss": 0.37403538823127747, "kappa": 1e-4, "rate": 5e-05, "bytes": 123456789, "seconds": 212345.5}
    console = Console(width=80, file=io.StringIO())
    console.print(rows_table([cells]))
    assert console.file.getvalue().split()[5:] == ["0.374035", "0.0001", "5e-05", "123456789", "212345.5"]


def test_what_a_command_has_imported_is_not_looked_through_for_garbage_when_it_ends() -> None:
    told = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0))"
    run_it = "from textinv.cli import main; main(['config', '--json'])"
    done = subprocess.run([sys.executable, "-c", f"{told}; {run_it}"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True"


class Pair(NamedTuple):
    """Two sides."""

    left: int
    right: Path


@dataclass(frozen=True)
class Told:
    """What commands emit."""

    pair: Pair
    names: frozenset[str]
    when: datetime
    counts: Mapping[str, int]


def test_whatever_a_command_says_is_plain_json_and_a_table_that_names_what_is_left_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    when = datetime(2026, 3, 4, 5, 6, 7, 890, tzinfo=UTC)
    told = Told(Pair(1, Path("a/b.png")), frozenset({"owl", "fox"}), when, MappingProxyType({"done": 2}))
    emit(told, json=True)
    assert json.loads(capsys.readouterr().out) == {
        "pair": [1, "a/b.png"],
        "names": ["fox", "owl"],
        "when": when.isoformat(),
        "counts": {"done": 2},
    }
    emit([told.pair, told.pair], json=False)
    emit({"when": when, "steps": list(range(40)), "none": []}, json=False)
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].split() == ["left", "right"]
    assert "2026-03-04 05:06:07+00:00" in shown
    assert "... (40 in all) ..., 39" in shown
