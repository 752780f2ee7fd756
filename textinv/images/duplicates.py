"""Pictures that are nearly the same: they add nothing to a concept but weight.

Owns the look of a picture, a difference hash: for each pair of neighbouring cells of a 17 x 16 copy, whether brightness
rises or falls.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from PIL import Image

from textinv.images.decode import Picture

MAX_DIFFERENT_BITS = 20
"""Of 512: re-compressed and slightly scaled copies differ in fewer, other photographs of the same thing in far more."""
SIDE = 16
LEAST_RISE = 2
"""Of 255: smaller differences are noise of the compression."""


def near_duplicates(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    """Names of each pair of pictures that look the same."""
    return same_looks([(picture.name, look_of(picture)) for picture in pictures])


def same_looks(looks: Sequence[tuple[str, int]]) -> list[tuple[str, str]]:
    """Names of each pair whose looks are the same."""
    return [
        (first, second)
        for (first, one), (second, other) in combinations(looks, 2)
        if (one ^ other).bit_count() <= MAX_DIFFERENT_BITS
    ]


def look_of(picture: Picture) -> int:
    """The look of a picture as 512 bits: where brightness rises, then where it falls."""
    gray = Image.fromarray(picture.pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    rise = np.diff(np.asarray(gray, dtype=np.int16), axis=1)
    return int.from_bytes(np.packbits([rise > LEAST_RISE, rise < -LEAST_RISE]).tobytes(), "big")
