"""A picture in a terminal that has no way to show one: two pixels a character, in colours.

Owns nothing but that. Who calls it knows whether the terminal has 24-bit colours.
"""

import io

from rich.color import Color
from rich.style import Style
from rich.text import Text

COLUMNS = 32
_UPPER_HALF = "▀"


def drawn_in_blocks(data: bytes, columns: int = COLUMNS) -> Text:
    """Draw a picture file with half blocks, `columns` characters wide."""
    from PIL import Image

    with Image.open(io.BytesIO(data)) as opened:
        rows = max(1, round(opened.height / opened.width * columns / 2))
        picture = opened.convert("RGB").resize((columns, 2 * rows))
    text = Text()
    for row in range(rows):
        for column in range(columns):
            above, below = (picture.getpixel((column, 2 * row + half)) for half in (0, 1))
            text.append(_UPPER_HALF, Style(color=_color(above), bgcolor=_color(below)))
        text.append("\n")
    return text


def _color(pixel: object) -> Color:
    red, green, blue = pixel if isinstance(pixel, tuple) else (0, 0, 0)
    return Color.from_rgb(red, green, blue)
