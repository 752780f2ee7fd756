"""Prompts that change while a picture is drawn, and windows that begin anew, as A1111 has them."""

import numpy as np
import pytest

from textinv.errors import PromptError
from textinv.generation.draw import generate, generate_all
from textinv.generation.prompt_schedule import MAX_TEXTS, texts_over_steps
from textinv.generation.prompts import PromptEncoder
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel


def over_ten(prompt: str) -> list[tuple[int, str]]:
    """The last step of each text, as A1111 tells it."""
    found = texts_over_steps(prompt, 10)
    said = [found.texts[place] for place in found.at]
    return [(step, text) for step, text in enumerate(said, 1) if step == 10 or said[step] != text]


@pytest.mark.parametrize(
    ("prompt", "told"),
    [  # the examples of A1111's modules/prompt_parser.py
        ("test", [(10, "test")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b: 3]", [(3, "a "), (10, "a b")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("a [{b|d{:.5] c", [(5, "a  c"), (10, "a {b|d{ c")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("[a|(b:1.1)]", [(n, "a" if n % 2 else "(b:1.1)") for n in range(1, 11)]),
        ("[fe|]male", [(n, "female" if n % 2 else "male") for n in range(1, 11)]),
        # our own
        ("[cat::4] sits", [(4, "cat sits"), (10, " sits")]),
        ("a [<fox:0.5>:<a+b>:0.5]", [(5, "a <fox:0.5>"), (10, "a <a+b>")]),
        (r"a \[b:c:3\]", [(10, r"a \[b:c:3\]")]),
        ("less [important] words", [(10, "less [important] words")]),
    ],
)
def test_what_a_prompt_says_in_each_step(prompt: str, told: list[tuple[int, str]]) -> None:
    assert over_ten(prompt) == told


def test_a_prompt_that_says_too_much_is_refused() -> None:
    with pytest.raises(PromptError, match=f"{MAX_TEXTS} are the most"):
        texts_over_steps("[" + "|".join(map(str, range(100))) + "]", 100)


def test_deep_brackets_are_plain_text_and_cost_no_time() -> None:
    hostile = "[" * 10_000 + ":0.5]" * 10_000
    assert len(texts_over_steps(hostile[:32_000], 20).texts) <= MAX_TEXTS


def draw(model: BaseModel, prompt: str, negative: str = "") -> np.ndarray:
    (picture,) = generate(model, asked(prompt, negative))
    return picture.pixels


def asked(prompt: str, negative: str = "") -> GenerateRequest:
    return GenerateRequest(prompt, negative, num_inference_steps=4, seed=3, attention_weights=True)


def test_a_prompt_that_changes_to_the_same_is_that_prompt_and_one_that_changes_is_neither(model: BaseModel) -> None:
    fox, crab = draw(model, "a fox"), draw(model, "a crab")
    assert np.array_equal(draw(model, "a [fox:fox:0.5]"), fox)
    assert np.array_equal(draw(model, "a [fox:crab:0]"), crab)
    assert np.array_equal(draw(model, "a [fox:crab:4]"), fox)
    half, turns = draw(model, "a [fox:crab:2]"), draw(model, "a [fox|crab]")
    for other in (fox, crab, turns):
        assert not np.array_equal(half, other)


def test_a_negative_prompt_may_change_too(model: BaseModel) -> None:
    assert np.array_equal(draw(model, "a fox", "[red:blue:0]"), draw(model, "a fox", "blue"))
    assert not np.array_equal(draw(model, "a fox", "[red:blue:2]"), draw(model, "a fox", "blue"))


def test_a_picture_that_changes_shares_a_batch_with_others(model: BaseModel) -> None:
    prompts = ("a fox", "a [fox:crab:2]", "a [fox|crab] BREAK on a hill", "a crab")
    together = generate_all(model, [(asked(prompt), {}) for prompt in prompts])
    for prompt, (picture,) in zip(prompts, together, strict=True):
        assert np.abs(picture.pixels.astype(int) - draw(model, prompt)).max() <= 1


def test_break_begins_a_new_window_where_weights_are_syntax(model: BaseModel) -> None:
    encoder = PromptEncoder(model)
    for prompt, windows in (("a fox", 1), ("a fox BREAK a crab", 2), ("(a BREAK b:1.2) BREAK c", 3), ("BREAK", 2)):
        assert encoder.prepare(prompt, {}, True).tokenized.num_chunks == windows
    assert encoder.prepare("a fox BREAK a crab", {}, False).tokenized.num_chunks == 1
    assert encoder.prepare("BREAKFAST", {}, True).tokenized.num_chunks == 1


def test_without_attention_weights_brackets_are_plain_text(model: BaseModel) -> None:
    plain = GenerateRequest("a [fox:crab:2]", num_inference_steps=2, seed=3)
    (picture,) = generate(model, plain)
    assert "Emphasis: None" in picture.infotext
