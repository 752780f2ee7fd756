"""Pictures that callers send: base64, data URLs and files, bounded before they are decoded.

Owns the bounds and the two meanings of a mask: OpenAI's transparency and A1111's white or opaque. Nothing is fetched
from a URL that a caller names, so nobody can make the service call others.
"""

import base64
import binascii
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from services.api.images.sizes import Size
from textinv.errors import ImageError, RequestError
from textinv.images import Picture, decode_picture
from textinv.images.decode import FORMATS

_DATA_URL = "data:"


def decode_text(text: str, param: str) -> bytes:
    """Decode base64, with or without the head of a data URL.

    Raises:
        RequestError: it is something else.
    """
    if text.startswith(("http://", "https://", "file:")):
        raise RequestError(f"{param}: pictures are not fetched from URLs; send base64 or a data URL", param=param)
    if text.startswith(_DATA_URL):
        text = text.partition(",")[2]
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{param} is not base64: {error}", param=param) from error


def decode_upload(data: bytes, param: str, max_px: int, *, to_learn: bool = False) -> Picture:
    """Decode an uploaded picture.

    Raises:
        ImageError: it is no picture, or has more than `max_px` pixels; or it is `to_learn` from and transparent
            everywhere.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as header:
            num_px = header.width * header.height
    except Exception:  # whatever is wrong with it, decode_picture says it better
        num_px = 0
    if num_px > max_px:
        raise ImageError(f"{param} has {num_px} pixels; {max_px} are allowed, scale it down", param=param)
    try:
        return decode_picture(data, param, to_learn=to_learn)
    except ImageError as error:
        raise ImageError(error.message, param=param) from error


def transparent_mask(alpha: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """OpenAI's mask as ours: what is transparent may change (255)."""
    return _resized(255 - alpha, size)


def white_mask(picture: Picture, size: Size, invert: bool) -> NDArray[np.uint8]:
    """A1111's mask as ours: what is white may change (255), or in a mask with transparent parts what is opaque.

    Source: A1111 `modules/processing.py`, `create_binary_mask`.
    """
    shown = np.asarray(Image.fromarray(picture.pixels).convert("L")) if picture.alpha is None else picture.alpha
    return _resized(255 - shown if invert else shown, size)


def resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Resize pixels (H, W, 3)."""
    return _resized(pixels, size)


def _resized(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    if pixels.shape[1::-1] == tuple(size):
        return np.ascontiguousarray(pixels)
    return np.array(Image.fromarray(pixels).resize((size.width_px, size.height_px), Image.Resampling.LANCZOS))
