"""Pictures as callers get them: PNG, JPEG or WebP, each with its infotext.

Owns encoding. PNG carries the infotext in a `parameters` chunk, the others in EXIF's UserComment, as A1111 does. A JPEG
has room for some 32,000 characters: it goes without a longer one, as half of a prompt would be taken for all of it.
"""

import base64
import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.drawing.studio import Drawing
from textinv.generation.infotext import write_png

PictureFormat = Literal["png", "jpeg", "webp"]
_USER_COMMENT = 0x9286
_EXIF_IFD = 0x8769
# EXIF 2.3, UserComment: the text is preceded by the name of its encoding.
_UNICODE = b"UNICODE\0"
# JPEG, B.1.1.4: the length of a segment takes 16 bits, and counts their two bytes.
_MAX_JPEG_EXIF_BYTES = 65_533


def encode_picture(drawing: Drawing, form: PictureFormat, compression: int, size_px: tuple[int, int] | None) -> bytes:
    """Encode a drawing, resized to `size_px` (width, height) when that is given; `compression` is JPEG's quality."""
    pixels = drawing.pixels if size_px is None else _resize(drawing.pixels, size_px)
    return encode_pixels(pixels, form, compression, drawing.infotext)


def encode_pixels(pixels: NDArray[np.uint8], form: PictureFormat, compression: int, infotext: str = "") -> bytes:
    """Encode pixels (H, W, 3)."""
    if form == "png":
        return write_png(pixels, infotext)
    exif = Image.Exif()
    if infotext:
        exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = _UNICODE + infotext.encode("utf-16-be", "replace")
    said = exif.tobytes()
    if form == "jpeg" and len(said) > _MAX_JPEG_EXIF_BYTES:
        said = b""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form.upper(), quality=max(compression, 1), exif=said)
    return buffer.getvalue()


def as_base64(data: bytes) -> str:
    """Encode bytes for JSON."""
    return base64.b64encode(data).decode()


def _resize(pixels: NDArray[np.uint8], size_px: tuple[int, int]) -> NDArray[np.uint8]:
    if pixels.shape[1::-1] == size_px:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(size_px, Image.Resampling.LANCZOS))
