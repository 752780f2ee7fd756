"""Pictures to send and to look at."""

import base64
import io
import struct
import zlib
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREY = (10, 20, 30)


@cache
def png(width_px: int = 64, height_px: int = 64, mode: str = "RGB", colour: tuple[int, ...] = GREY) -> bytes:
    """One colour."""
    buffer = io.BytesIO()
    Image.new(mode, (width_px, height_px), colour).save(buffer, "PNG")
    return buffer.getvalue()


def half_transparent_png(width_px: int = 64, height_px: int = 64) -> bytes:
    """Opaque on the right, transparent on the left."""
    picture = Image.new("RGBA", (width_px, height_px), (*GREY, 255))
    picture.paste((0, 0, 0, 0), (0, 0, width_px // 2, height_px))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@cache
def black_png(width_px: int, height_px: int) -> bytes:
    """A large picture of few bytes: rows of zeros are compressed once and repeated, where Pillow takes seconds for all.

    Its height is a multiple of 100.
    """
    row_bytes = 1 + (width_px + 7) // 8
    shrink = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    rows = shrink.compress(bytes(row_bytes * 100)) + shrink.flush(zlib.Z_FULL_FLUSH)
    checksum = (row_bytes * height_px % 65_521) << 16 | 1  # Adler-32 of so many zeros
    data = b"\x78\x9c" + rows * (height_px // 100) + shrink.flush() + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", width_px, height_px, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    )


def decompression_bomb() -> bytes:
    """A hundred KB that are 900 million pixels."""
    return black_png(30_000, 30_000)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pixels_of(text: str) -> NDArray[np.uint8]:
    """Decode base64 of a picture."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
