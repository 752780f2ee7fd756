"""`textinv new`: from folders of pictures to a manifest."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from textinv.cli import main
from textinv.manifest import load_manifest
from textinv.manifest.new import name_of_folder
from textinv.placeholders import is_name


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(list(arguments))
    return int(caught.value.code or 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Folders of pictures, as people have them."""
    for folder, number in (("My Fox (2)", 3), ("styles/Füchse", 2), (".thumbnails", 1)):
        target = tmp_path / "photos" / folder
        target.mkdir(parents=True)
        for index in range(number):
            Image.new("RGB", (80, 80), (index * 60, 10, 200)).save(target / f"{index}.png")
    (tmp_path / "photos" / "My Fox (2)" / "0.txt").write_text("{} on a sofa")
    return tmp_path / "photos"


def test_each_folder_with_pictures_becomes_a_concept_of_a_manifest_that_is_valid(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("new", str(photos)) == 0
    out = photos.with_suffix(".yaml")
    assert f"next: textinv plan {out}" in capsys.readouterr().out
    manifest = load_manifest(out)
    assert [(one.name, one.images) for one in manifest.concepts] == [
        ("my-fox-2", "photos/My Fox (2)"),
        ("fuchse", "photos/styles/Füchse"),
    ]
    assert (manifest.base_model, manifest.defaults.init) == ("emoji", "auto")
    text = out.read_text()
    assert "3 pictures, 1 with a caption beside" in text
    assert "# class_word: fox # what kind of thing it is" in text
    assert run("--home", str(photos.parent / "home"), "validate", str(out), "--json") == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 5


def test_a_person_at_a_terminal_is_asked_for_kind_and_class_word(
    photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("t\nfox\ns\n\n"))
    assert run("new", str(photos), "--ask", "-o", str(tmp_path / "m.yaml")) == 0
    fox, style = load_manifest(tmp_path / "m.yaml").concepts
    assert (fox.kind, fox.class_word) == ("object", "fox")
    assert (style.kind, style.class_word) == ("style", None)


def test_a_manifest_that_is_there_is_not_written_over(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos.with_suffix(".yaml").write_text("mine")
    assert run("new", str(photos)) == 2
    assert "exists already: name another file with -o" in capsys.readouterr().err
    assert photos.with_suffix(".yaml").read_text() == "mine"


def test_a_folder_without_pictures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run("new", str(tmp_path / "empty")) == 2
    assert "hold no pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("Fox", "fox"),
        ("2024", "concept-2024"),
        ("犬", "concept"),
        ("a" * 80, "a" * 63),
        ("..x..", "x"),
        ("Öl & Bild", "ol-bild"),
    ],
)
def test_what_a_folder_is_called_becomes_a_valid_name(folder: str, name: str) -> None:
    assert name_of_folder(folder) == name
    second = name_of_folder(folder, {name})
    assert second != name
    assert is_name(name)
    assert is_name(second)
