"""Sizes: from OpenAI's `size` to what the base model draws and what the caller gets.

Owns `auto`, `WxH`, and the operator's choice to resize.
"""

import math
import re
from typing import NamedTuple

from services.drawing.studio import StudioFacts
from textinv.errors import RequestError

_SIZE = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")
# The largest that clients ask for by default (OpenAI's 1792x1024, A1111's hires fix) fits well within.
_MAX_RESIZED_PX = 4096 * 4096


class Size(NamedTuple):
    """Width and height in pixels."""

    width_px: int
    height_px: int

    def __str__(self) -> str:
        return f"{self.width_px}x{self.height_px}"


class ChosenSize(NamedTuple):
    """What is drawn, and what it is resized to (None: it stays)."""

    drawn: Size
    resized: Size | None

    @property
    def answered(self) -> Size:
        """The size of the picture that the caller gets."""
        return self.resized or self.drawn


def parse_size(text: str, facts: StudioFacts) -> Size:
    """Read `auto` or `WxH`.

    Raises:
        RequestError: it is neither.
    """
    if text == "auto":
        return Size(facts.native_px, facts.native_px)
    if match := _SIZE.fullmatch(text):
        return Size(int(match[1]), int(match[2]))
    raise RequestError(f"size is {text[:40]!r}; write 'auto' or WIDTHxHEIGHT in pixels, as 512x512", param="size")


def choose_size(size: Size, facts: StudioFacts, resize: bool) -> ChosenSize:
    """Choose what to draw for a size.

    Raises:
        RequestError: the base model cannot draw it and nothing is to be resized.
    """
    if facts.draws(*size):
        return ChosenSize(size, None)
    if resize and size.width_px * size.height_px <= _MAX_RESIZED_PX:
        return ChosenSize(_nearest(size, facts), size)
    raise RequestError(
        f"{facts.base_model!r} cannot draw {size}; choose sides that are multiples of {facts.grain_px} from "
        f"{facts.min_side_px} and at most {facts.max_image_px} pixels in all (natively {facts.native_px}x"
        f"{facts.native_px}), or 'auto'; a service started with --resize draws a size near it and resizes",
        param="size",
    )


def fit_to_base(size: Size, facts: StudioFacts, resize: bool) -> ChosenSize:
    """Choose what to draw for a picture that is to be edited: its own size, or the nearest of its shape."""
    if facts.draws(*size):
        return ChosenSize(size, None)
    return ChosenSize(_nearest(size, facts), size if resize else None)


def _nearest(size: Size, facts: StudioFacts) -> Size:
    """The drawable size of about the native area and of this shape."""
    shrink = facts.native_px / math.sqrt(size.width_px * size.height_px)
    low = math.ceil(facts.min_side_px / facts.grain_px) * facts.grain_px
    sides = [max(round(side * shrink / facts.grain_px) * facts.grain_px, low) for side in size]
    while sides[0] * sides[1] > facts.max_image_px:
        sides[sides.index(max(sides))] -= facts.grain_px
    return Size(*sides)
