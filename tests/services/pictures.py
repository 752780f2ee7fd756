"""Pictures to send and to look at."""

import base64
import io
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

GREY = (10, 20, 30)


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
def decompression_bomb() -> bytes:
    """A few KB that claim 900 million pixels."""
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pixels_of(text: str) -> NDArray[np.uint8]:
    """Decode base64 of a picture."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
