"""Contact sheets: rows of labelled pictures as one picture.

Owns layout and lettering. Does not know models, prompts or concepts: it gets pictures and words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageDraw, ImageFont

CELL_PX = 128
"""Side of a picture on the sheet; smaller pictures are enlarged."""
GAP_PX = 6
GROUP_GAP_PX = 26
MARGIN_PX = 16
TITLE_PX = 15
CAPTION_PX = 11
MAX_CAPTION_LINES = 3
PAPER, INK, PALE = (255, 255, 255), (30, 30, 30), (120, 120, 120)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class PictureGroup:
    """Pictures that belong together, each with its caption (which may be empty)."""

    title: str
    pictures: Sequence[tuple[Image.Image, str]]

    @property
    def width_px(self) -> int:
        """Width on the sheet."""
        return len(self.pictures) * (CELL_PX + GAP_PX) - GAP_PX


@dataclass(frozen=True)
class SheetRow:
    """One line of the sheet: a title and groups of pictures side by side."""

    title: str
    groups: Sequence[PictureGroup]

    @property
    def width_px(self) -> int:
        """Width on the sheet, without margins."""
        return sum(group.width_px + GROUP_GAP_PX for group in self.groups) - GROUP_GAP_PX

    @property
    def caption_px(self) -> int:
        """Height of the captions below the pictures."""
        lines = [len(_lines(caption)) for group in self.groups for _, caption in group.pictures]
        return max(lines, default=0) * (CAPTION_PX + 3)

    @property
    def height_px(self) -> int:
        """Height on the sheet, with the space below."""
        return 2 * (TITLE_PX + 6) + CELL_PX + self.caption_px + 2 * GAP_PX


def contact_sheet(rows: Sequence[SheetRow]) -> Image.Image:
    """Lay out rows below each other; groups at the same place of different rows start at the same column."""
    starts = _group_starts(rows)
    width = max((starts[len(row.groups) - 1] + row.groups[-1].width_px for row in rows if row.groups), default=0)
    height = sum(row.height_px for row in rows)
    sheet = Image.new("RGB", (width + 2 * MARGIN_PX, height + 2 * MARGIN_PX), PAPER)
    y = MARGIN_PX
    for row in rows:
        _draw_row(sheet, row, starts, y)
        y += row.height_px
    return sheet


def picture_grid(pictures: Sequence[tuple[Image.Image, str]], columns: int) -> Image.Image:
    """Lay out captioned pictures as a plain grid, `columns` to a row."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    return contact_sheet([SheetRow("", [PictureGroup("", row)]) for row in rows])


def _group_starts(rows: Sequence[SheetRow]) -> list[int]:
    """Left edge of each place for a group: right of the widest group before it."""
    starts = [0]
    for place in range(max((len(row.groups) for row in rows), default=0)):
        widest = max(row.groups[place].width_px for row in rows if place < len(row.groups))
        starts.append(starts[-1] + widest + GROUP_GAP_PX)
    return starts


def _draw_row(sheet: Image.Image, row: SheetRow, starts: Sequence[int], y: int) -> None:
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN_PX, y), row.title, fill=INK, font=_font(TITLE_PX))
    top = y + 2 * (TITLE_PX + 6)
    for group, start in zip(row.groups, starts, strict=False):
        pen.text((MARGIN_PX + start, y + TITLE_PX + 6), group.title, fill=PALE, font=_font(TITLE_PX - 2))
        for place, (picture, caption) in enumerate(group.pictures):
            x = MARGIN_PX + start + place * (CELL_PX + GAP_PX)
            sheet.paste(picture.convert("RGB").resize((CELL_PX, CELL_PX), Image.Resampling.BICUBIC), (x, top))
            pen.rectangle((x - 1, top - 1, x + CELL_PX, top + CELL_PX), outline=(225, 225, 225))
            text = "\n".join(_lines(caption))
            pen.multiline_text((x, top + CELL_PX + 3), text, fill=INK, font=_font(CAPTION_PX), spacing=2)


def _lines(caption: str) -> list[str]:
    """Break a caption into lines that fit below a picture; what is too long ends in an ellipsis."""
    lines: list[str] = []
    for word in caption.split():
        if lines and _font(CAPTION_PX).getlength(f"{lines[-1]} {word}") <= CELL_PX:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    if len(lines) > MAX_CAPTION_LINES:
        lines = [*lines[: MAX_CAPTION_LINES - 1], lines[MAX_CAPTION_LINES - 1] + " …"]
    return lines


@cache
def _font(size_px: int) -> Font:
    return ImageFont.load_default(size_px)
