"""What a base model is told of sizes beside the text: of the picture, where it was cropped, and what is wanted.

Podell et al. 2023 (SDXL), arXiv 2307.01952, section 2.2: a UNet that was told in its training how large each picture
was and where it was cropped draws pictures like those of a size and a crop. Owns the value, its ranges, and how it is
written and read. Does not know what is drawn.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from textinv.errors import RequestError

MAX_TOLD_PX = 16_384
_SIZE = re.compile(r"(\d{1,6})x(\d{1,6})")
_CROP = re.compile(r"(\d{1,6}), ?(\d{1,6})")
_LABELS = ("Original size", "Crop top left", "Target size")
"""In an infotext. No other program has names for them."""


@dataclass(frozen=True)
class ToldSizes:
    """Sizes are (height, width) in pixels; None: of the picture that is drawn."""

    original_size: tuple[int, int] | None = None
    """Of the picture as it was before it was scaled: a small one draws what looks scaled up."""
    crop_top_left: tuple[int, int] = (0, 0)
    """Pixels that were cut off at the top and on the left: 0, 0 draws what is centred."""
    target_size: tuple[int, int] | None = None
    """Of the picture that is wanted."""

    def check(self) -> None:
        """Check the ranges.

        Raises:
            RequestError: a field is out of range; `param` names it.
        """
        for param, low in (("original_size", 1), ("crop_top_left", 0), ("target_size", 1)):
            for side_px in getattr(self, param) or ():
                if not low <= side_px <= MAX_TOLD_PX:
                    raise RequestError(f"{param} has {side_px}; choose from {low} to {MAX_TOLD_PX} pixels", param=param)

    def told(self, drawn: tuple[int, int]) -> tuple[int, ...]:
        """The six numbers for a picture (height, width) that is drawn."""
        return (*(self.original_size or drawn), *self.crop_top_left, *(self.target_size or drawn))

    def settings(self) -> dict[str, str | None]:
        """What an infotext says of them."""
        sizes = [None if size is None else f"{size[1]}x{size[0]}" for size in (self.original_size, self.target_size)]
        crop = ", ".join(map(str, self.crop_top_left)) if any(self.crop_top_left) else None
        return dict(zip(_LABELS, (sizes[0], crop, sizes[1]), strict=True))


def read_sizes(original_size: str | None, crop_top_left: str | None, target_size: str | None) -> ToldSizes | None:
    """Read what a person writes: WIDTHxHEIGHT, "TOP,LEFT" and WIDTHxHEIGHT; None: nothing was written.

    Raises:
        RequestError: one of them is written otherwise; `param` names it.
    """
    if not (original_size or crop_top_left or target_size):
        return None
    original, target = _size("original_size", original_size), _size("target_size", target_size)
    sizes = ToldSizes(original, _pair("crop_top_left", crop_top_left, _CROP, "TOP,LEFT") or (0, 0), target)
    sizes.check()
    return sizes


def sizes_in(settings: Mapping[str, str]) -> ToldSizes | None:
    """Read what an infotext says of them; what it says in other words is not read."""
    try:
        return read_sizes(*(settings.get(label) for label in _LABELS))
    except RequestError:
        return None


def _size(param: str, text: str | None) -> tuple[int, int] | None:
    pair = _pair(param, text, _SIZE, "WIDTHxHEIGHT")
    return None if pair is None else (pair[1], pair[0])


def _pair(param: str, text: str | None, form: re.Pattern[str], example: str) -> tuple[int, int] | None:
    if not text:
        return None
    found = form.fullmatch(text)
    if found is None:
        raise RequestError(f"{param} is {text[:40]!r}; write {example} in pixels", param=param)
    return int(found[1]), int(found[2])
