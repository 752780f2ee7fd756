"""From a file's bytes to upright RGB pixels.

Owns what counts as a picture: the EXIF rotation is applied, colours are taken from their profile to sRGB, alpha is kept
beside them, and everything else is refused by name; what a file does not show (an animation, of which one frame is
taken) is noted. Does not know folders, sizes that training wants, or masks.
"""

import hashlib
import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from textinv.errors import ImageError
from textinv.images.colours import WIDE_MODES, in_eight_bits, in_srgb, optional_formats

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MAX_PIXELS = 100_000_000
"""Larger pictures are refused before they are decoded: a few KB of file can claim gigabytes of pixels."""
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", *optional_formats())
"""What Pillow may open: the formats of photographs, not its rarely used parsers."""

SHOWN = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
"""What every browser shows and none can take for a page, with its media type."""


@dataclass(frozen=True)
class Picture:
    """A decoded picture."""

    pixels: "NDArray[np.uint8]"
    """(H, W, 3), upright."""
    alpha: "NDArray[np.uint8] | None"
    """(H, W): how much each pixel counts in the loss; None: all alike."""
    digest: str
    """SHA-256 of the file, hex."""
    name: str
    turned: bool = False
    """Whether the file asked to be turned or mirrored (EXIF), which was done."""
    notes: tuple[str, ...] = ()
    """What was done to it that people might not expect, in words that follow its name."""

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
                notes = list(_frames(image))
                upright = ImageOps.exif_transpose(image)
                pixels, alpha = _channels(in_srgb(upright, image.info.get("icc_profile"), notes), name)
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
    return Picture(pixels, alpha, hashlib.sha256(data).hexdigest(), name, turned, tuple(notes))


def check_pixels(image: Image.Image, name: str) -> None:
    """Refuse a picture by the size that its header states.

    Raises:
        ImageError: it has more than `MAX_PIXELS`.
    """
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{_too_large(name)} (it has {image.width} x {image.height})", file=name)


def _channels(image: Image.Image, name: str) -> "tuple[NDArray[np.uint8], NDArray[np.uint8] | None]":
    """Colours and alpha; alpha that is opaque everywhere is none."""
    import numpy as np  # 0.2 s: only where pixels are looked at

    if image.mode in WIDE_MODES:
        image = in_eight_bits(image, name)
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB")), None
    rgba = np.asarray(image.convert("RGBA"))
    alpha = rgba[..., 3]
    return np.ascontiguousarray(rgba[..., :3]), None if bool((alpha == 255).all()) else np.ascontiguousarray(alpha)


def _frames(image: Image.Image) -> Iterator[str]:
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # the second picture of an MPO is a phone's own
        yield f"has {frames} frames: only the first is used"


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
        if start[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
            return "it looks like HEIC: pip install 'textinv[heic]' reads it, or save it as JPEG"
        return "it looks like AVIF or a video"
    try:
        start.decode()
    except UnicodeDecodeError as error:
        return "its format is unknown" if error.start < len(start) - 4 else "it looks like text"
    return "it looks like text"
