"""Colours as they are meant: from a file's profile to sRGB, and from wider numbers to eight bits.

Owns what Pillow leaves to its callers, and which formats this installation reads beside the usual ones. Does not know
files.
"""

import io
from typing import TYPE_CHECKING

from PIL import Image, ImageCms, features

from textinv.errors import ImageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "F")
"""Gray in more than eight bits, which `convert("RGB")` would clip to white, or in floats, cut to black."""
_BITS = (8, 12, 16, 24, 32)
_SRGB = ImageCms.createProfile("sRGB")


def optional_formats() -> tuple[str, ...]:
    """Formats that are read where their decoders are installed: AVIF by Pillow itself, HEIC by pillow-heif."""
    found = ["AVIF"] if features.check("avif") else []
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return tuple(found)
    register_heif_opener()
    return (*found, "HEIF")


def in_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """Take colours from their profile to sRGB; a profile that cannot be used is noted."""
    if not profile or image.mode in WIDE_MODES:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        colours = image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")
        converted = ImageCms.profileToProfile(colours, source, _SRGB, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        notes.append(f"has a colour profile that cannot be used ({error}): its colours are read as sRGB")
        return image
    if converted is None:
        return image
    if image.has_transparency_data:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


def in_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Gray of more bits in eight: of as many bits as its brightest value needs, 8, 12 or 16, since files of 12 bits say
    that they have 16; floats of 0 to 1, else as numbers.

    Raises:
        ImageError: floats that are no brightness: negative, endless or not numbers.
    """
    import numpy as np  # 0.2 s: only where pixels are looked at

    values = np.asarray(image)
    if image.mode == "F":
        values = _whole_numbers(values, name)
    wide = values.astype(np.int64).clip(0)
    bits = next(bits for bits in _BITS if int(wide.max()) < 1 << bits)
    return Image.fromarray((wide >> (bits - 8)).astype(np.uint8))


def _whole_numbers(values: "NDArray[np.float32]", name: str) -> "NDArray[np.float32]":
    import numpy as np  # 0.2 s: only where pixels are looked at

    if not np.isfinite(values).all() or values.min() < 0 or values.max() >= 1 << 16:
        raise ImageError(
            f"the pixel values of {name} do not lie within 0 to 1, 255 or 65535: save it as PNG", file=name
        )
    return np.rint(values * 255 if values.max() <= 1 else values).astype(np.float32)
