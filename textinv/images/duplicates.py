"""Pictures that are nearly the same: they add nothing to a concept but weight.

Owns the look of a picture: a difference hash (for each pair of neighbouring cells of a 17 x 16 copy, whether brightness
rises or falls) and the colours of a 4 x 4 copy, so that the same thing on another background is another picture.
"""

from collections.abc import Sequence
from itertools import combinations

from PIL import Image

from textinv.images.decode import Picture

SIDE = 16
LEAST_RISE = 2
"""Of 255: smaller differences are noise of the compression."""
HASH_BYTES = 2 * SIDE * SIDE // 8
MAX_DIFFERENT_BITS = 24
"""Of 512: 474 of 480 copies of the demo's pictures, saved at quality 60 or scaled, differ in at most so many; nearly
all other pairs of pictures of the same thing in 40 and more."""
MAX_COLOUR_DIFFERENCE = 16
"""Of 255, in any cell: the same copies differ in at most so much, half of them in 2."""

Look = bytes
"""`HASH_BYTES` of rises and falls, then 4 x 4 RGB values."""


def near_duplicates(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    """Names of each pair of pictures that look the same."""
    return same_looks([(picture.name, look_of(picture)) for picture in pictures])


def same_looks(looks: Sequence[tuple[str, Look]]) -> list[tuple[str, str]]:
    """Names of each pair whose looks are the same."""
    return [(first, second) for (first, one), (second, other) in combinations(looks, 2) if are_alike(one, other)]


def look_of(picture: Picture) -> Look:
    """The look of a picture."""
    import numpy as np  # 0.2 s: only where pixels are looked at

    image = Image.fromarray(picture.pixels)
    gray = image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    rise = np.diff(np.asarray(gray, dtype=np.int16), axis=1)
    bits = np.packbits([rise > LEAST_RISE, rise < -LEAST_RISE])
    return bits.tobytes() + np.asarray(image.resize((4, 4), Image.Resampling.BOX)).tobytes()


def are_alike(one: Look, other: Look) -> bool:
    """Whether two looks are those of the same picture."""
    if one == other:
        return True
    edges = int.from_bytes(one[:HASH_BYTES], "big") ^ int.from_bytes(other[:HASH_BYTES], "big")
    if edges.bit_count() > MAX_DIFFERENT_BITS:
        return False
    colours = zip(one[HASH_BYTES:], other[HASH_BYTES:], strict=True)
    return max(abs(first - second) for first, second in colours) <= MAX_COLOUR_DIFFERENCE
