"""What is a placeholder in a prompt, and what is plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textinv.errors import InputError
from textinv.placeholders import MAX_VERSION, ConceptRef, is_name, lower_placeholders, parse_ref, refs_in, split_prompt


@pytest.mark.parametrize(
    "text", ["<3", "<3>", "I <3 you>", "<a b>", "<>", "<-fox>", "<fox@>", "<123>", "<" + "a" * 64 + ">"]
)
def test_other_text_in_angle_brackets_is_plain(text: str) -> None:
    assert list(split_prompt(text)) == [text]


@pytest.mark.parametrize("name", ["fox", "3d-fox", "a", "fox_1.b", "1a", "a" * 63])
def test_names_make_placeholders(name: str) -> None:
    assert is_name(name)
    assert refs_in(f"a <{name}> and <{name}@12>") == [ConceptRef(name), ConceptRef(name, 12)]


@given(st.text(alphabet="<>@ab3. -", max_size=40))
def test_the_pieces_of_a_prompt_are_the_prompt(text: str) -> None:
    pieces = [piece.placeholder if isinstance(piece, ConceptRef) else piece for piece in split_prompt(text)]
    assert "".join(pieces) == text


def test_a_reference_is_parsed_with_and_without_brackets() -> None:
    assert parse_ref("fox@3") == parse_ref("<fox@3>") == ConceptRef("fox", 3)
    assert str(ConceptRef("fox", 3)) == "fox@3"


def test_a_placeholder_may_be_written_in_any_case_as_names_are_all_lower_case() -> None:
    assert list(split_prompt("A <Fox> and <RED-HAT@2>, <a B>")) == [
        "A ",
        ConceptRef("fox"),
        " and ",
        ConceptRef("red-hat", 2),
        ", <a B>",
    ]
    assert parse_ref("<Fox@3>") == ConceptRef("fox", 3)
    assert not is_name("Fox")
    assert lower_placeholders("A <Fox> and <RED-HAT@2>, <a B>") == "A <fox> and <red-hat@2>, <a B>"
    assert list(split_prompt("<\u212aing>")) == ["<\u212aing>"]  # the sign for Kelvin is no K


@pytest.mark.parametrize("num_digits", [9, 4000, 5000])
def test_a_version_that_cannot_be_is_refused_however_long_it_is(num_digits: int) -> None:
    asked = "<fox@" + "9" * num_digits + ">"
    for ask in (parse_ref, refs_in, lambda text: list(split_prompt(text))):
        with pytest.raises(InputError, match=f"a version of {num_digits} digits; the last is 99999999") as caught:
            ask(asked)
        assert len(caught.value.message) < 200
    assert refs_in("<fox@" + "0" * 5000 + "7>") == [ConceptRef("fox", 7)]
    assert refs_in(f"<fox@{MAX_VERSION}>") == [ConceptRef("fox", MAX_VERSION)]


def test_a_bad_reference_says_what_a_name_is() -> None:
    with pytest.raises(InputError, match=r"'Fox' does not name a concept: a name is a letter or digit"):
        parse_ref("Fox")
