"""What is to be written somewhere is written there, in the format of its suffix, or refused by name."""

import io
import os
from pathlib import Path

import pytest
import torch
from PIL import ExifTags, Image, PngImagePlugin

from textinv.cli.generate import check_suffix, in_format
from textinv.embedding import Embedding, export_embedding, import_embedding
from textinv.errors import EmbeddingFormatError, InputError
from textinv.outputs import output_folder, write_output

ROWS = Embedding({"text_encoder": torch.ones(2, 8)})


def test_folders_on_the_way_are_made_and_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deeper" / "x.html"
    for body in (b"one", b"two"):
        assert write_output(path, body).read_bytes() == body
    assert list(path.parent.iterdir()) == [path]
    plain = tmp_path / "plain"
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_what_stands_in_the_way_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/x cannot be written"):
        write_output(tmp_path / "file" / "x", b"")
    with pytest.raises(InputError, match="is a folder"):
        write_output(tmp_path, b"")
    with pytest.raises(InputError, match=r"file/x cannot be made"):
        output_folder(tmp_path / "file" / "x")


def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_output(tmp_path / "pipe", b"hello")
    assert os.read(reading, 10) == b"hello"
    os.close(reading)


def test_an_embedding_is_exported_into_a_folder_or_as_the_file_that_is_named(tmp_path: Path) -> None:
    assert export_embedding(ROWS, "fox", "auto", tmp_path / "a") == [tmp_path / "a/fox.safetensors"]
    file = tmp_path / "b" / "mine.safetensors"
    assert export_embedding(ROWS, "fox", "auto", file) == [file]
    assert import_embedding(file) == ROWS
    assert export_embedding(ROWS, "fox", "a1111-pt", tmp_path / "c.pt") == [tmp_path / "c.pt"]
    for wrong in ("diffusers", "a1111-pt"):
        with pytest.raises(EmbeddingFormatError, match="does not fit the format"):
            export_embedding(ROWS, "fox", wrong, tmp_path / "d.safetensors")
    assert not (tmp_path / "d.safetensors").exists()


@pytest.mark.parametrize(("suffix", "format"), [(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WEBP")])
def test_a_picture_has_the_format_of_its_suffix_and_keeps_how_it_was_drawn(suffix: str, format: str) -> None:
    said, file = PngImagePlugin.PngInfo(), io.BytesIO()
    said.add_text("parameters", "a fox, Steps: 9")
    Image.new("RGB", (16, 16), (200, 40, 10)).save(file, "PNG", pnginfo=said)
    with Image.open(io.BytesIO(in_format(file.getvalue(), suffix))) as image:
        assert image.format == format
        if format != "PNG":
            comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
            assert comment[8:].decode("utf-16-be") == "a fox, Steps: 9"


@pytest.mark.parametrize("name", ["x", "x.gif", "x.safetensors"])
def test_a_suffix_that_says_no_format_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="does not tell the format"):
        check_suffix(Path(name))
