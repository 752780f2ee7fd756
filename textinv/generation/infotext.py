"""Infotext: the text that A1111 writes into a PNG, from which any web UI reads back how a picture was made.

Owns its layout, both ways, and the PNG chunk it lives in. Does not know requests or the engine.
"""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from textinv.generation.png_text import read_png_text
from textinv.images.decode import MAX_PIXELS

CHUNK = "parameters"
_NEGATIVE = "Negative prompt:"
# The bound on a key's length keeps the search linear in a text without colons.
_FIELD = re.compile(r'([\w][\w \-/]{1,64}):\s*("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')
# A1111 takes the last line for settings when it holds at least this many of them.
_MIN_SETTINGS = 3


@dataclass(frozen=True)
class Infotext:
    """What an infotext says: both prompts, and its settings in order ("Steps", "Sampler", "Seed", ...)."""

    prompt: str
    negative_prompt: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def concept_hashes(self) -> dict[str, str]:
        """The first 12 hex digits of each embedding's digest, by `name@version`, from `TI hashes`."""
        pairs = (piece.rpartition(":") for piece in self.settings.get("TI hashes", "").split(",") if ":" in piece)
        return {name.strip(): short.strip() for name, _, short in pairs}


def write_infotext(infotext: Infotext) -> str:
    """Write an infotext in A1111's layout."""
    lines = [infotext.prompt]
    if infotext.negative_prompt:
        lines.append(f"{_NEGATIVE} {infotext.negative_prompt}")
    lines.append(", ".join(f"{key}: {_quote(value)}" for key, value in infotext.settings.items()))
    return "\n".join(lines)


def read_infotext(text: str) -> Infotext:
    """Read an infotext of ours or of another web UI."""
    *lines, last = text.strip("\n").split("\n")
    found = _FIELD.findall(last)
    if len(found) < _MIN_SETTINGS:
        lines, found = [*lines, last], []
    body = "\n".join(lines)
    prompt, _, negative = ("\n" + body).partition(f"\n{_NEGATIVE}")
    return Infotext(prompt[1:], negative.strip(), {key.strip(): _unquote(value) for key, value in found})


def write_png(pixels_HWC: NDArray[np.uint8], infotext: str) -> bytes:
    """Encode a picture as PNG with an infotext in its `parameters` chunk."""
    chunks = PngInfo()
    chunks.add_text(CHUNK, infotext)
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


def read_png_infotext(png: bytes, max_px: int = MAX_PIXELS) -> str | None:
    """Read the infotext of a PNG, without decoding its pixels; None when it has none.

    Raises:
        ImageError: the bytes are not a PNG, or one with more than `max_px` pixels.
    """
    return read_png_text(png, CHUNK, max_px) or None


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if any(mark in value for mark in ',:\n"') else value


def _unquote(value: str) -> str:
    if len(value) < 2 or not value.startswith('"'):
        return value.strip()
    try:
        return str(json.loads(value))
    except json.JSONDecodeError:
        return value
