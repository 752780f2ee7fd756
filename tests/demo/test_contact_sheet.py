"""Contact sheets hold every picture, in its place, at its size."""

import numpy as np
from PIL import Image

from textinv.demo.sheet import CELL_PX, PictureGroup, SheetRow, contact_sheet, picture_grid

RED, BLUE = (Image.new("RGB", (64, 64), colour) for colour in ("red", "blue"))


def share_of(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == np.array(colour)).all(-1).sum())


def test_every_picture_is_on_the_sheet_at_full_size() -> None:
    rows = [
        SheetRow("<a>", [PictureGroup("training", [(RED, ""), (RED, "")]), PictureGroup("learned", [(BLUE, "a <a>")])]),
        SheetRow("<b>", [PictureGroup("training", [(BLUE, "")]), PictureGroup("learned", [(RED, "a <b> on red")])]),
    ]
    sheet = contact_sheet(rows)
    assert share_of(sheet, (255, 0, 0)) == 3 * CELL_PX**2
    assert share_of(sheet, (0, 0, 255)) == 2 * CELL_PX**2


def test_groups_at_the_same_place_start_at_the_same_column() -> None:
    rows = [
        SheetRow("", [PictureGroup("", [(RED, "")]), PictureGroup("", [(BLUE, "")])]),
        SheetRow("", [PictureGroup("", [(RED, "")] * 3), PictureGroup("", [(BLUE, "")])]),
    ]
    blue = (np.asarray(contact_sheet(rows)) == np.array((0, 0, 255))).all(-1)
    edges = {int(np.flatnonzero(line)[0]) for line in blue if line.any()}
    assert len(edges) == 1


def test_long_captions_take_several_lines_and_end_in_an_ellipsis() -> None:
    short = picture_grid([(RED, "fox")], 1)
    long = picture_grid([(RED, "a fox " * 30)], 1)
    assert short.height < long.height < short.height + 60


def test_a_grid_of_nothing_is_still_a_picture() -> None:
    assert contact_sheet([]).size[0] > 0
