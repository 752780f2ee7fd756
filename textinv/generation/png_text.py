"""Text chunks of a PNG, read without decoding a pixel: a few KB of file can claim gigabytes of them.

Owns the walk over chunks and its bounds. Knows no infotext. Source: PNG specification, third edition, 5.3 and 11.3.3.
"""

import struct
import zlib
from collections.abc import Iterator

from textinv.errors import ImageError
from textinv.images.decode import MAX_PIXELS

MAX_TEXT_BYTES = 2**19
"""Room for two prompts of 32,000 characters and what other programs write beside them."""
# Encoders write 8 KB of pixels or more to a chunk.
_MAX_CHUNKS = 100_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEAD = struct.Struct(">I4s")
_CRC_BYTES = 4


def read_png_text(png: bytes, keyword: str, max_px: int = MAX_PIXELS) -> str | None:
    """Read the text that a PNG holds under a keyword; None when there is none.

    Raises:
        ImageError: the bytes are not a PNG, are damaged before the text, or tell of more than `max_px` pixels.
    """
    key = keyword.encode("latin-1")
    for number, (kind, data) in enumerate(_chunks(png)):
        if number == 0:
            _check_header(kind, data, max_px)
        if kind in (b"tEXt", b"zTXt", b"iTXt") and data.startswith(key + b"\0"):
            return _decoded(kind, data[len(key) + 1 :])
    return None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not png.startswith(_SIGNATURE):
        raise _unreadable(png, "they begin otherwise")
    at = len(_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + _HEAD.size > len(png):
            raise _unreadable(png, "the file is cut off")
        length, kind = _HEAD.unpack_from(png, at)
        end = at + _HEAD.size + length
        if end + _CRC_BYTES > len(png):
            raise _unreadable(png, "the file is cut off")
        if kind == b"IEND":
            return
        # Pixels stay where they are.
        yield kind, b"" if kind == b"IDAT" else png[at + _HEAD.size : end]
        at = end + _CRC_BYTES
    raise _unreadable(png, f"there are more than {_MAX_CHUNKS} chunks")


def _check_header(kind: bytes, data: bytes, max_px: int) -> None:
    if kind != b"IHDR" or len(data) < 8:
        raise ImageError("these bytes are not a PNG that can be read: there is no header")
    width_px, height_px = struct.unpack_from(">II", data)
    if width_px * height_px > max_px:
        raise ImageError(f"the picture has {width_px} x {height_px} pixels; {max_px} are allowed, scale it down")


def _decoded(kind: bytes, data: bytes) -> str:
    encoding, is_packed = "latin-1", kind == b"zTXt"
    if kind == b"zTXt":
        data = data[1:]
    elif kind == b"iTXt":
        encoding, is_packed = "utf-8", data[:1] == b"\1"
        data = data[2:].split(b"\0", 2)[-1]
    text = _unpacked(data) if is_packed else data
    if len(text) > MAX_TEXT_BYTES:
        raise ImageError(f"the text in the PNG is longer than {MAX_TEXT_BYTES} bytes; that is not an infotext")
    try:
        return text.decode(encoding)
    except UnicodeDecodeError as error:
        raise ImageError(f"the text in the PNG is damaged: {error.reason}") from error


def _unpacked(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MAX_TEXT_BYTES + 1)
    except zlib.error as error:
        raise ImageError(f"the text in the PNG is damaged: {error}") from error


def _unreadable(png: bytes, why: str) -> ImageError:
    return ImageError(f"these {len(png)} bytes are not a PNG that can be read: {why}")
