"""Prompts of any length become chunks of one window."""

from collections.abc import Callable

import pytest

from textinv.errors import PromptError, UnknownConceptError
from textinv.models import BaseModel, batch_prompts
from textinv.models.prompt import RowRef, Token
from textinv.placeholders import ConceptRef

FOX = ConceptRef("my-fox")


def _vectors(chunk: tuple[Token, ...]) -> list[int]:
    return [token.row.vector for token in chunk if token.row is not None]


def test_a_short_prompt_is_one_window_with_begin_end_and_padding(emoji: BaseModel) -> None:
    (chunk,) = emoji.tokenize_prompt("a <my-fox> apple", {FOX: 2}).chunks["text_encoder"]
    begin, end = chunk[0].id, chunk[-1].id
    assert len(chunk) == emoji.window
    assert [token.row for token in chunk[1:5]] == [None, RowRef(FOX, 0), RowRef(FOX, 1), None]
    assert [token.id for token in chunk].count(begin) == 1
    assert {token.id for token in chunk[5:]} == {end}


def test_an_empty_prompt_is_one_window(emoji: BaseModel) -> None:
    assert emoji.tokenize_prompt("", {}).num_chunks == 1


@pytest.mark.parametrize(("words", "num_chunks"), [(30, 1), (31, 2), (60, 2), (61, 3)])
def test_a_long_prompt_takes_as_many_windows_as_it_needs(emoji: BaseModel, words: int, num_chunks: int) -> None:
    prompt = emoji.tokenize_prompt("apple " * words, {})
    assert prompt.num_chunks == num_chunks
    assert {len(chunk) for chunk in prompt.chunks["text_encoder"]} == {emoji.window}


def test_a_placeholder_at_the_edge_moves_whole_into_the_next_window(emoji: BaseModel) -> None:
    first, second = emoji.tokenize_prompt("apple " * 28 + "<my-fox> apple", {FOX: 3}).chunks["text_encoder"]
    assert _vectors(first) == []
    assert _vectors(second) == [0, 1, 2]
    assert second[1].row == RowRef(FOX, 0)


def test_a_placeholder_that_fills_a_window_fits_and_one_more_vector_is_refused_with_its_count(emoji: BaseModel) -> None:
    assert _vectors(emoji.tokenize_prompt("<my-fox>", {FOX: 30}).chunks["text_encoder"][0]) == list(range(30))
    with pytest.raises(PromptError, match="<my-fox> has 31 vectors") as refused:
        emoji.tokenize_prompt("<my-fox>", {FOX: 31})
    assert refused.value.details["num_vectors"] == 31


def test_a_text_of_fixed_length_that_needs_two_windows_is_refused(emoji: BaseModel) -> None:
    with pytest.raises(PromptError, match="2 windows of 32 tokens"):
        emoji.tokenize(["a cup", "apple " * 31], {})


def test_a_concept_that_is_not_mounted_is_named(emoji: BaseModel) -> None:
    with pytest.raises(UnknownConceptError, match="<my-fox@3>"):
        emoji.tokenize_prompt("a <my-fox@3>", {FOX: 1})


def test_angle_brackets_that_name_no_concept_are_plain_text(emoji: BaseModel) -> None:
    plain, spaced = (emoji.tokenize_prompt(text, {}).chunks for text in ("i <3 cups", "i < 3 cups"))
    assert plain == spaced
    assert all(token.row is None for token in plain["text_encoder"][0])


def test_weights_stay_with_their_words_and_vectors(emoji: BaseModel) -> None:
    prompt = emoji.tokenize_prompt([("a ", 1.0), ("<my-fox> apple", 1.5), (" red", 1.0)], {FOX: 2})
    weights_BL = batch_prompts([prompt], {FOX: {"text_encoder": emoji.vocabulary("text_encoder")[:2]}}).weights
    assert weights_BL["text_encoder"][0, :8].tolist() == [1, 1, 1.5, 1.5, 1.5, 1, 1, 1]


def test_no_filler_is_a_special_token(tiny: Callable[[str], BaseModel]) -> None:
    for family in ("sd1", "sd2", "sdxl", "ldm"):
        model = tiny(family)
        marked = model.tokenize_prompt("<my-fox>", {FOX: 1}).chunks
        empty = model.tokenize_prompt("", {}).chunks
        for name in model.encoder_names:
            assert marked[name][0][1].row == RowRef(FOX, 0)
            assert marked[name][0][1].id not in {token.id for token in empty[name][0]}


def test_both_text_encoders_of_sdxl_pad_as_their_tokenizers_say(tiny: Callable[[str], BaseModel]) -> None:
    chunks = tiny("sdxl").tokenize_prompt("a cup", {}).chunks
    assert chunks["text_encoder"][0][-1].id == 1817
    assert chunks["text_encoder_2"][0][-1].id == 0


def test_rows_of_a_text_are_copies_of_the_vocabularys(emoji: BaseModel) -> None:
    rows_nD = emoji.token_rows("text_encoder", "red apple")
    ids = [token.id for token in emoji.tokenize_prompt("red apple", {}).chunks["text_encoder"][0][1:3]]
    assert rows_nD.equal(emoji.vocabulary("text_encoder")[ids])
    rows_nD += 1
    assert not rows_nD.equal(emoji.vocabulary("text_encoder")[ids])
    assert len(emoji.token_rows("text_encoder", "")) == 0
