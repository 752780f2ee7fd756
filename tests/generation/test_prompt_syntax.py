"""Attention weights and aliases of placeholders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from textinv.generation.prompts import (
    MAX_WEIGHT,
    MIN_WEIGHT,
    has_attention_weights,
    parse_attention_weights,
)
from textinv.placeholders import expand_aliases, expand_bare_names


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a frog", [("a frog", 1.0)]),
        ("a (frog) here", [("a ", 1.0), ("frog", 1.1), (" here", 1.0)]),
        ("((wet)) frog", [("wet", 1.21), (" frog", 1.0)]),
        ("a [frog]", [("a ", 1.0), ("frog", 1 / 1.1)]),
        ("(<frog>:1.3) x", [("<frog>", 1.3), (" x", 1.0)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        (r"a \(frog\)", [("a (frog)", 1.0)]),
        ("open (end", [("open ", 1.0), ("end", 1.1)]),
        ("stray ) and ]", [("stray ) and ]", 1.0)]),
        ("time 12:30)", [("time 12:30)", 1.0)]),
        ("(wet:-.5)", [("wet", -0.5)]),
        ("", []),
    ],
)
def test_weights_are_parsed_as_a1111_does(prompt: str, expected: list[tuple[str, float]]) -> None:
    pieces = parse_attention_weights(prompt)
    assert [text for text, _ in pieces] == [text for text, _ in expected]
    assert [weight for _, weight in pieces] == pytest.approx([weight for _, weight in expected])


@given(st.text(alphabet=r"ab ()[]:\1.2", max_size=60))
def test_any_text_has_weights_in_range(prompt: str) -> None:
    assert all(MIN_WEIGHT <= weight <= MAX_WEIGHT for _, weight in parse_attention_weights(prompt))


@pytest.mark.parametrize("prompt", ["", "a frog", "time 12:30)", "stray ) and ]"])
def test_a_prompt_without_weights_has_none(prompt: str) -> None:
    assert not has_attention_weights(prompt)


@pytest.mark.parametrize("prompt", ["a (frog)", "(a:1)", r"\(", "open [end"])
def test_a_prompt_with_weights_has_some(prompt: str) -> None:
    assert has_attention_weights(prompt)


@given(st.text(alphabet="abc <>1.2-", max_size=60))
def test_a_prompt_without_brackets_is_one_stretch(prompt: str) -> None:
    assert "".join(text for text, _ in parse_attention_weights(prompt)) == prompt


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a embedding:frog, wet", "a <frog>, wet"),
        ("(embedding:red-hat@2:1.2)", "(<red-hat@2>:1.2)"),
        ("an embedding:frog.", "an <frog>."),
        ("embedding: frog", "embedding: frog"),
        ("my_embedding:frog", "my_embedding:frog"),
        ("embedding:123", "embedding:123"),
        ("A <Frog> and <Red-Hat@2>, <No Name>", "A <frog> and <red-hat@2>, <No Name>"),
    ],
)
def test_embedding_colon_name_is_a_placeholder(prompt: str, expected: str) -> None:
    assert expand_aliases(prompt) == expected


def test_bare_stored_names_become_placeholders() -> None:
    stored = {"frog", "red-hat"}.__contains__
    assert expand_bare_names("a Frog in a red-hat, <frog>, frogs. A frog.", stored) == (
        "a <frog> in a <red-hat>, <frog>, frogs. A <frog>."
    )


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a frog@1 x", "a <frog@1> x"),
        ("a Red-Hat@12, (frog@2:1.3)", "a <red-hat@12>, (<frog@2>:1.3)"),
        ("a frog@1.", "a <frog@1>."),
        ("a embedding:frog@1 x", "a <frog@1> x"),
        ("a embedding:Frog. x", "a <frog>. x"),
        ("embedding:other and <Other@3>", "<other> and <other@3>"),
        ("frog@ home, frog@pond, frog@1st", "<frog>@ home, <frog>@pond, <frog>@1st"),
        ("toad@1", "toad@1"),
    ],
)
def test_a_bare_stored_name_may_have_a_version_and_other_spellings_keep_theirs(prompt: str, expected: str) -> None:
    assert expand_bare_names(prompt, {"frog", "red-hat"}.__contains__) == expected
