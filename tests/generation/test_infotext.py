"""Infotext, written and read back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from textinv.errors import ImageError
from textinv.generation.infotext import Infotext, read_infotext, read_png_infotext, write_infotext, write_png
from textinv.generation.told_sizes import ToldSizes, sizes_in

SETTINGS = {
    "Steps": "25",
    "Sampler": "DPM++ 2M",
    "CFG scale": "4.5",
    "Seed": "7",
    "Size": "64x64",
    "TI hashes": "frog@3: 0123456789ab, red-hat@1: ba9876543210",
    "Version": "textinv 0.1.0",
}


def test_an_infotext_is_laid_out_as_a1111_does() -> None:
    text = write_infotext(
        Infotext("a <frog>, wet", "blurry", {"Steps": "25", "Seed": "7", "TI hashes": "frog@3: 0123"})
    )
    assert text == 'a <frog>, wet\nNegative prompt: blurry\nSteps: 25, Seed: 7, TI hashes: "frog@3: 0123"'


_LINE = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=40)


@given(prompt=_LINE, negative=_LINE.map(str.strip))
def test_an_infotext_reads_back(prompt: str, negative: str) -> None:
    infotext = Infotext(prompt, negative, SETTINGS)
    assert read_infotext(write_infotext(infotext)) == infotext


def test_the_infotext_of_another_web_ui_reads_back() -> None:
    text = "a cat\nsecond line\nNegative prompt: dog\nbad\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Model: x"
    infotext = read_infotext(text)
    assert (infotext.prompt, infotext.negative_prompt) == ("a cat\nsecond line", "dog\nbad")
    assert infotext.settings["Sampler"] == "Euler a"


def test_a_text_without_settings_is_a_prompt() -> None:
    assert read_infotext("just words, and: more") == Infotext("just words, and: more")


def test_concept_hashes_are_read_by_name_and_version() -> None:
    infotext = read_infotext(write_infotext(Infotext("p", "", SETTINGS)))
    assert infotext.concept_hashes == {"frog@3": "0123456789ab", "red-hat@1": "ba9876543210"}


@pytest.mark.parametrize("prompt", ["a frog", "ein Fröschlein 蛙"])
def test_a_png_carries_its_infotext_and_its_pixels(prompt: str) -> None:
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert read_png_infotext(write_png(pixels, prompt)) == prompt


def test_what_is_not_a_png_is_refused() -> None:
    with pytest.raises(ImageError, match="not a PNG"):
        read_png_infotext(b"GIF89a")


def test_a_quoted_value_that_is_no_json_is_read_as_it_stands() -> None:
    read = read_infotext('p\nSteps: 20, Sampler: Euler, Seed: 1, Model: "c:\\quiet"')
    assert read.settings["Model"] == '"c:\\quiet"'


def test_sizes_that_another_program_wrote_in_other_words_are_not_read() -> None:
    read = read_infotext('p\nSteps: 20, Original size: large, Crop top left: "0, 0", Target size: 64x64')
    assert sizes_in(read.settings) is None
    assert sizes_in({"Original size": "160x96"}) == ToldSizes((96, 160), (0, 0), None)
