"""The context term compares the words around the placeholder with those around the class word."""

from collections.abc import Callable

import pytest
import torch

from textinv.models.base import BaseModel
from textinv.training import Work
from textinv.training.batch import context_losses
from textinv.training.captions import tokenize_captions
from textinv.training.context import CONTEXT_PROMPTS, encode_references
from textinv.training.initial import rows_of_text
from textinv.training.train import learn


def terms(model: BaseModel, class_word: str, rows: dict[str, torch.Tensor]) -> torch.Tensor:
    """The term of every context prompt."""
    num_vectors = len(rows["text_encoder"])
    references = encode_references(model, class_word, num_vectors)
    encoded = model.encode_text(tokenize_captions(model, CONTEXT_PROMPTS, num_vectors), rows)
    return context_losses(encoded["hidden"], references.hidden_PLD, references.mask_PL)


@pytest.mark.parametrize("class_word", ["fox", "birthday cake"])
def test_the_context_term_is_zero_when_the_placeholder_is_the_class_word(model: BaseModel, class_word: str) -> None:
    length = len(model.token_rows("text_encoder", class_word))
    assert terms(model, class_word, rows_of_text(model, class_word, length)).abs().max() < 1e-6


def test_the_context_term_grows_with_the_norm_of_the_rows_and_compares_across_lengths(model: BaseModel) -> None:
    rows = rows_of_text(model, "rocket", 1)
    terms_by_scale = [
        terms(model, "birthday cake", {"text_encoder": rows["text_encoder"] * scale}).mean().item()
        for scale in (1, 10, 100)
    ]
    assert 0 < terms_by_scale[0] < terms_by_scale[1] < terms_by_scale[2]


def test_the_context_term_keeps_the_words_around_the_placeholder_closer_to_the_class_word(
    model: BaseModel, works: Callable[..., Work]
) -> None:
    fox = {"class_word": "fox", "init": "fox", "max_steps": 10, "samples_per_step": 2}
    learned = learn(model, [works("without", **fox), works("with", **fox, context_weight=5)], num_slots=2)
    without, with_term = (
        terms(model, "fox", dict(learned.concepts[name].embedding.rows)).mean().item() for name in ("without", "with")
    )
    assert with_term < 0.7 * without
