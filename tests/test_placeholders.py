"""What is a placeholder in a prompt, and what is plain text."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textinv.errors import InputError
from textinv.placeholders import (
    GUESS,
    MAX_VERSION,
    Blend,
    ConceptRef,
    check_brackets,
    is_name,
    lower_placeholders,
    parse_mention,
    parse_ref,
    refs_in,
    split_prompt,
    with_versions,
)


@pytest.mark.parametrize(
    "text", ["<3", "<3>", "I <3 you>", "<a b>", "<>", "<-fox>", "<fox@>", "<123>", "<" + "a" * 64 + ">"]
)
def test_other_text_in_angle_brackets_is_plain(text: str) -> None:
    assert list(split_prompt(text)) == [text]


@pytest.mark.parametrize("name", ["fox", "3d-fox", "a", "fox_1.b", "1a", "a" * 63])
def test_names_make_placeholders(name: str) -> None:
    assert is_name(name)
    assert refs_in(f"a <{name}> and <{name}@12>") == [ConceptRef(name), ConceptRef(name, 12)]


def test_a_guess_is_named_as_a_version_of_any_case_is_and_with_a_strength() -> None:
    fox = ConceptRef("fox", GUESS)
    assert refs_in("a <fox@guess>, <Fox@Guess> and <fox>") == [fox, ConceptRef("fox")]
    assert fox.placeholder == "<fox@guess>"
    assert parse_ref("fox@guess") == fox
    assert parse_mention("fox@guess:0.7") == Blend(((fox, 0.7),))
    assert with_versions("<fox> and <fox@guess>", {"fox": 2}) == "<fox@2> and <fox@guess>"
    assert with_versions("<fox>", {"fox": GUESS}) == "<fox@guess>"
    assert list(split_prompt("<fox@guessed>")) == ["<fox@guessed>"]


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
        with pytest.raises(InputError, match=f"a version of {num_digits} digits; the highest is 99999999") as caught:
            ask(asked)
        assert len(caught.value.message) < 200
    assert refs_in("<fox@" + "0" * 5000 + "7>") == [ConceptRef("fox", 7)]
    assert refs_in(f"<fox@{MAX_VERSION}>") == [ConceptRef("fox", MAX_VERSION)]


def test_a_bad_reference_says_what_a_name_is() -> None:
    with pytest.raises(InputError, match=r"'Fox' does not name a concept: a name is a letter or digit"):
        parse_ref("Fox")


def test_strengths_and_mixtures_are_placeholders() -> None:
    fox, owl = ConceptRef("fox"), ConceptRef("owl", 2)
    assert list(split_prompt("a <Fox:0.7> <fox+owl@2> <fox:0.3+owl@2:.7>")) == [
        "a ",
        Blend(((fox, 0.7),)),
        " ",
        Blend(((fox, 0.5), (owl, 0.5))),
        " ",
        Blend(((fox, 0.3), (owl, 0.7))),
    ]
    assert refs_in("<fox:0.7> <fox+owl@2>") == [fox, owl]
    assert parse_mention("fox:0.3+owl@2:0.7") == Blend(((fox, 0.3), (owl, 0.7)))
    assert parse_mention("fox:0.3+owl@2:0.7").placeholder == "<fox:0.3+owl@2:0.7>"
    with pytest.raises(InputError, match="does not name a concept"):
        parse_ref("fox:0.7")
    with pytest.raises(InputError, match="'my fox' does not name a concept"):
        parse_mention("my fox")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<fox:9>", r"asks for a strength of 9: write 0 \(the class word\) to 1.5"),
        ("<fox:" + "9" * 5000 + ">", "asks for a strength of inf"),
        ("<a:0.3+b>", "gives one of two shares"),
        ("<a+b+c>", "mixes 3 concepts: name two"),
        ("<a:0+b:0>", "takes nothing of either"),
    ],
)
def test_strengths_that_cannot_be_are_refused(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        refs_in(text)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a <my fox> here", "<my fox> is not a name: did you mean <my-fox>"),
        ("<My_Fox Two>", "did you mean <my-fox-two>"),
        ("<fox:strong>", "write it as <fox:0.7>"),
        ("<fox@>", "write <name>, <name@3>, <name:0.7>"),
        ("<lora:add_detail:0.8>", "only concepts can be drawn here: leave it out"),
        ("<" + "a" * 64 + ">", "is not a concept"),
    ],
)
def test_brackets_that_look_meant_are_told_what_they_could_be(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        check_brackets(text)


@pytest.mark.parametrize("text", ["I <3 you>", "1 < 2 and 3 > 2", "a <fox> <fox@2> <fox:0.5> <a+b>", "<->", "->", "<3"])
def test_other_brackets_are_nobodys_mistake(text: str) -> None:
    check_brackets(text)


def test_versions_are_written_where_none_is() -> None:
    said = with_versions("<fox> <FOX:0.7> <fox@1> <fox+owl> owl", {"fox": 3})
    assert said == "<fox@3> <fox@3:0.7> <fox@1> <fox@3+owl> owl"


@given(st.text(alphabet="<>@ab3. -:+", max_size=60))
def test_what_is_in_no_bracket_is_plain_text_whatever_stands_beside_it(text: str) -> None:
    try:
        pieces = list(split_prompt(text))
    except InputError:
        return
    plain = "".join(piece for piece in pieces if isinstance(piece, str))
    assert len(plain) >= len(re.sub(r"<[^<>]*>", "", text))
