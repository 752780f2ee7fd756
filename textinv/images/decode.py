"""From a file's bytes to upright RGB pixels.

Owns what counts as a picture: the EXIF rotation is applied, alpha is kept beside the colours, and everything else is
refused by name. Does not know folders, sizes that training wants, or masks.
"""

import hashlib
import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from textinv.errors import ImageError

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a few KB of file can claim gigabytes of pixels."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
"""What Pillow may open: the formats of photographs, not its rarely used parsers."""

SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
"""What every browser shows and none can take for a page, with its media type."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: NDArray[np.uint8]
    """(H, W, 3), upright."""
    alpha: NDArray[np.uint8] | None
    """(H, W): how much each pixel counts in the loss; None: all alike."""
    digest: str
    """SHA-256 of the file, hex."""
    name: str
    turned: bool = False
    """Whether the file asked to be turned or mirrored (EXIF), which was done."""

    @property
    def width_px(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height_px(self) -> int:
        return int(self.pixels.shape[0])


def shown_type(data: bytes) -> str | None:
    """The media type of a picture's bytes, whatever its file is called; None: it is none that browsers only show."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=tuple(SHOWN)) as image:
                return SHOWN.get(image.format or "")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def decode_picture(data: bytes, name: str, *, to_learn: bool = True) -> Picture:
    """Decode a file's bytes; `name` is used in messages.

    Raises:
        ImageError: the bytes are not a whole picture, or one with too many pixels; or it is `to_learn` from and
            transparent everywhere.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=FORMATS) as image:
                check_pixels(image, name)
                image.load()
                turned = image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
                upright = ImageOps.exif_transpose(image)
                pixels, alpha = _channels(upright)
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is not a picture ({_looks_like(data)}): use {', '.join(FORMATS)}", file=name
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(name), file=name) from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ImageError(
            f"{name} is damaged and cannot be decoded ({error}): save or download it again", file=name
        ) from error
    if to_learn and alpha is not None and not alpha.any():
        raise ImageError(f"{name} is transparent everywhere: nothing could be learned from it", file=name)
    return Picture(pixels, alpha, hashlib.sha256(data).hexdigest(), name, turned)


def check_pixels(image: Image.Image, name: str) -> None:
    """Refuse a picture by the size that its header states.

    Raises:
        ImageError: it has more than `MAX_PIXELS`.
    """
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{_too_large(name)} (it has {image.width} x {image.height})", file=name)


def _channels(image: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colours and alpha; alpha that is opaque everywhere is none."""
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):  # 16-bit gray would be clipped to white by convert("RGB")
        image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8))
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), None
    rgba = np.asarray(image.convert("RGBA"))
    alpha = rgba[..., 3]
    return np.ascontiguousarray(rgba[..., :3]), None if bool((alpha == 255).all()) else np.ascontiguousarray(alpha)


def _too_large(name: str) -> str:
    return f"{name} is larger than {MAX_PIXELS // 1_000_000} million pixels: scale it down"


def _looks_like(data: bytes) -> str:
    if not data:
        return "the file is empty"
    start = data[:512]
    if start.lstrip()[:5].lower() in (b"<?xml", b"<svg ", b"<svg>"):
        return "it looks like SVG or XML"
    if start.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        return "it looks like a web page"
    if start[4:8] == b"ftyp":
        return "it looks like HEIC, AVIF or a video"
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return "its format is unknown" if error.start < len(start) - 4 else "it looks like text"
    return "it looks like text"
