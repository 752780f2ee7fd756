"""Texts in PNGs: found wherever they stand, bounded, and never at the cost of decoding pixels."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from textinv.errors import ImageError
from textinv.generation.infotext import read_infotext, read_png_infotext
from textinv.generation.png_text import MAX_TEXT_BYTES

SIGNATURE, END = b"\x89PNG\r\n\x1a\n", b"IEND"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width_px: int = 8, height_px: int = 8) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return b"".join((SIGNATURE, header(), *chunks, chunk(END, b"")))


@pytest.mark.parametrize("text", ["a hill\nSteps: 20", "Hügel", "蛙", "x" * 5000])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("international", [False, True])
def test_what_pillow_writes_is_read(text: str, packed: bool, international: bool) -> None:
    chunks, buffer = PngInfo(), io.BytesIO()
    chunks.add_text("Software", "x")
    if international:
        chunks.add_itxt("parameters", text, "en", "Parameter", packed)
    else:
        chunks.add_text("parameters", text, packed)
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=chunks)
    assert read_png_infotext(buffer.getvalue()) == text


def test_a_text_behind_the_pixels_is_read_and_pixels_are_not_decoded() -> None:
    assert read_png_infotext(png(chunk(b"IDAT", b"no pixels"), chunk(b"tEXt", b"parameters\0a hill"))) == "a hill"


def test_a_picture_with_more_pixels_than_allowed_is_refused() -> None:
    large = SIGNATURE + header(30_000, 30_000) + chunk(b"tEXt", b"parameters\0a hill") + chunk(END, b"")
    with pytest.raises(ImageError, match="30000 x 30000"):
        read_png_infotext(large)
    with pytest.raises(ImageError, match="8 x 8"):
        read_png_infotext(png(), max_px=63)
    assert read_png_infotext(png(), max_px=64) is None


@pytest.mark.parametrize(
    "text",
    [
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(bytes(50 * MAX_TEXT_BYTES))),
        chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(bytes(50 * MAX_TEXT_BYTES))),
        chunk(b"tEXt", b"parameters\0" + b"x" * (MAX_TEXT_BYTES + 1)),
        chunk(b"zTXt", b"parameters\0\0not packed"),
        chunk(b"iTXt", b"parameters\0\0\0\0\0\xff\xfe"),
    ],
    ids=["bomb", "international bomb", "endless", "not packed", "not UTF-8"],
)
def test_a_text_that_is_no_infotext_is_refused(text: bytes) -> None:
    with pytest.raises(ImageError, match="text in the PNG"):
        read_png_infotext(png(text))


@pytest.mark.parametrize(
    "data",
    [
        SIGNATURE,
        SIGNATURE + header(),
        SIGNATURE + header()[:-8],
        SIGNATURE + chunk(b"IDAT", b"") + chunk(END, b""),
        SIGNATURE + struct.pack(">I", 2**32 - 1) + b"tEXt",
        png(chunk(b"tEXt", b"") * 100_001),
    ],
    ids=["nothing", "no end", "half a header", "no header", "a length that is not there", "endlessly many chunks"],
)
def test_a_damaged_file_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match="not a PNG that can be read"):
        read_png_infotext(data)


@pytest.mark.parametrize(
    "text", ["a" * 40_000, " " * 40_000, 'a: "' * 10_000, 'ab:"\\' * 8000], ids=lambda text: text[:5]
)
def test_no_text_takes_long_to_read(text: str) -> None:
    began = time.thread_time()
    read_infotext(text)
    assert time.thread_time() - began < 0.5
