"""What a base model that takes sizes is told of each picture: its own size, its crop as scaled, and what is learned."""

from collections.abc import Callable

import numpy as np
import pytest

from textinv.images import Picture
from textinv.training import Work
from textinv.training.latents import sizes_of

WIDE = Picture(np.zeros((64, 96, 3), np.uint8), None, "wide", "wide.png")
TALL = Picture(np.zeros((96, 64, 3), np.uint8), None, "tall", "tall.png")
SMALL = Picture(np.zeros((16, 16, 3), np.uint8), None, "small", "small.png")


@pytest.mark.parametrize(
    ("picture", "told"),
    [(WIDE, (64, 96, 0, 8, 32, 32)), (TALL, (96, 64, 8, 0, 32, 32)), (SMALL, (16, 16, 0, 0, 32, 32))],
    ids=["wide", "tall", "small"],
)
def test_a_picture_is_told_with_its_own_size_and_its_crop(
    works: Callable[..., Work], picture: Picture, told: tuple[int, ...]
) -> None:
    spec = works("fox", resolution_px=32, tells_sizes=True).spec
    assert sizes_of(picture, spec) == sizes_of(picture, spec, mirrored=True) == told


def test_what_is_cut_off_on_the_left_is_on_the_right_of_the_mirror_image(works: Callable[..., Work]) -> None:
    spec = works("fox", resolution_px=32, crop="random", tells_sizes=True).spec
    left, mirrored = (sizes_of(WIDE, spec, flipped)[3] for flipped in (False, True))
    assert left + mirrored == 48 - 32
    assert left != mirrored


def test_a_picture_in_a_shape_of_its_own_is_told_with_that_shape(works: Callable[..., Work]) -> None:
    spec = works("fox", resolution_px=64, crop="fit", tells_sizes=True).spec
    *own, top, left, height, width = sizes_of(WIDE, spec)
    assert own == [64, 96]
    assert width > height
    assert (top, left) <= (8, 8)


def test_where_sizes_are_not_told_every_picture_is_a_whole_one_of_the_size_that_is_learned(
    works: Callable[..., Work],
) -> None:
    assert sizes_of(WIDE, works("fox", resolution_px=32).spec) == (32, 32, 0, 0, 32, 32)
