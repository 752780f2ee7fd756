"""Commands of rooms that are not installed say how to get them; a broken room is no missing one."""

from pathlib import Path

import pytest
import typer

from textinv.cli.app import mount


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("other")(lambda: None)
    return app


def test_a_room_that_is_not_there_says_how_to_get_it(app: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    mount(app, "cluster", "room_of_another_planet.commands")
    with pytest.raises(SystemExit) as caught:
        app(["cluster"])
    assert caught.value.code == 1
    shown = capsys.readouterr().err
    assert "room_of_another_planet, which is not installed here" in shown
    assert "pip install -e '.[cluster]'" in shown


def test_a_room_that_is_there_adds_its_commands(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "room_next_door.py").write_text(
        "def register(app):\n    app.command('greet')(lambda: print('good day'))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    mount(app, "cluster", "room_next_door")
    with pytest.raises(SystemExit):
        app(["greet"])
    assert capsys.readouterr().out == "good day\n"


def test_a_room_that_breaks_while_it_is_read_is_not_hidden(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "room_in_ruins.py").write_text("import textinv.no_such_part\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no_such_part"):
        mount(app, "cluster", "room_in_ruins")
