"""What is a placeholder in a prompt, and what is plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textinv.errors import InputError
from textinv.placeholders import ConceptRef, is_name, parse_ref, refs_in, split_prompt


@pytest.mark.parametrize(
    "text", ["<3", "<3>", "I <3 you>", "<Fox>", "<a b>", "<>", "<-fox>", "<fox@>", "<123>", "<" + "a" * 64 + ">"]
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


def test_a_bad_reference_says_what_a_name_is() -> None:
    with pytest.raises(InputError, match=r"'Fox' does not name a concept: a name is a letter or digit"):
        parse_ref("Fox")
