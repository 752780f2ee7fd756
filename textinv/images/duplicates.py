"""Pictures that are nearly the same: they add nothing to a concept but weight.

Owns a difference hash: each bit says whether brightness rises between two neighbouring cells of a 17 x 16 picture.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from textinv.images.decode import Picture

MAX_DIFFERENT_BITS = 10
"""Of 256: re-compressed or slightly scaled copies differ in fewer, other photographs of the same thing in far more."""
SIDE = 16


def near_duplicates(pictures: Sequence[Picture]) -> list[tuple[str, str]]:
    """Names of each pair of pictures that look the same."""
    hashes = [difference_hash(picture) for picture in pictures]
    return [
        (pictures[first].name, pictures[second].name)
        for first, second in combinations(range(len(pictures)), 2)
        if np.count_nonzero(hashes[first] != hashes[second]) <= MAX_DIFFERENT_BITS
    ]


def difference_hash(picture: Picture) -> NDArray[np.int8]:
    """Signs of brightness differences along rows, (SIDE, SIDE): -1, 0 (about the same) or 1."""
    gray = Image.fromarray(picture.pixels).convert("L").resize((SIDE + 1, SIDE), Image.Resampling.BOX)
    rise = np.diff(np.asarray(gray, dtype=np.int16), axis=1)
    return (np.sign(rise) * (np.abs(rise) > 2)).astype(np.int8)
