"""Several pictures of one size in a row, as one small JPEG: one object in a store instead of one for each.

Owns how they lie on it and how they are taken off again. Does not know what they show.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

CELL_PX = 256
"""Longer side of a picture on a strip; what is smaller stays so."""
_QUALITY = 90


def make_strip(pixels: Sequence[NDArray[np.uint8]]) -> bytes:
    """Lay pictures (H, W, 3) of one size in a row, each scaled down to a cell."""
    images = [Image.fromarray(one) for one in pixels]
    for image in images:
        image.thumbnail((CELL_PX, CELL_PX))
    width, height = images[0].size
    row = Image.new("RGB", (width * len(images), height))
    for column, image in enumerate(images):
        row.paste(image, (column * width, 0))
    file = io.BytesIO()
    row.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()


def cells_of(strip: bytes, num_cells: int) -> list[Image.Image]:
    """The pictures of a strip, from left to right; none where it is no picture, as it may come from anywhere."""
    try:
        with Image.open(io.BytesIO(strip)) as opened:
            row = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        return []
    width = row.width // num_cells
    return [row.crop((column * width, 0, (column + 1) * width, row.height)) for column in range(num_cells)]


def first_cell(strip: bytes, num_cells: int) -> bytes | None:
    """The first picture of a strip as a JPEG; None where it is no picture."""
    for cell in cells_of(strip, num_cells)[:1]:
        file = io.BytesIO()
        cell.save(file, "JPEG", quality=_QUALITY)
        return file.getvalue()
    return None
