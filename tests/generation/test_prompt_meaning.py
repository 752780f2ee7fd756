"""Prompts on the demo base: long ones, weighted ones, several concepts, names that change their meaning."""

import numpy as np
import pytest
import torch

from textinv.embedding import Embedding
from textinv.errors import PromptError
from textinv.generation.draw import generate, generate_all
from textinv.generation.engine import Engine
from textinv.generation.prompts import MAX_CHUNKS, PromptEncoder
from textinv.generation.request import GenerateRequest
from textinv.models import BaseModel
from textinv.placeholders import ConceptRef

FROG, HAT = ConceptRef("my-frog"), ConceptRef("my-hat")
LONG = "a red apple on green grass, " * 8


def _word(model: BaseModel, word: str) -> Embedding:
    return Embedding({"text_encoder": model.token_rows("text_encoder", word)})


def _request(prompt: str, **fields: object) -> GenerateRequest:
    return GenerateRequest(prompt, num_inference_steps=2, seed=1, **fields)  # type: ignore[arg-type]


def _differ(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


def test_a_placeholder_with_a_words_rows_draws_what_the_word_draws(model: BaseModel) -> None:
    mounts = {FROG: _word(model, "frog"), HAT: _word(model, "hat")}
    drawn = generate(model, _request("a <my-frog> with a <my-hat>", negative_prompt="<my-hat>"), mounts)
    plain = generate(model, _request("a frog with a hat", negative_prompt="hat"))
    assert _differ(drawn[0].pixels, plain[0].pixels) == 0
    assert set(drawn[0].concepts) == {"my-frog", "my-hat"}


def test_embedding_colon_name_draws_what_the_placeholder_draws(model: BaseModel) -> None:
    mounts = {FROG: _word(model, "frog")}
    one, other = generate_all(
        model, [(_request("a embedding:my-frog, wet"), mounts), (_request("a <my-frog>, wet"), mounts)]
    )
    assert _differ(one[0].pixels, other[0].pixels) == 0


def test_prompts_of_different_lengths_share_a_batch_and_do_not_disturb_each_other(model: BaseModel) -> None:
    requests = [_request("a red apple"), _request(LONG), _request("frog", negative_prompt=LONG), _request(LONG * 2)]
    together = generate_all(model, [(request, {}) for request in requests])
    for request, images in zip(requests, together, strict=True):
        assert _differ(images[0].pixels, generate(model, request)[0].pixels) <= 1


def test_what_stands_beyond_the_first_window_counts(model: BaseModel) -> None:
    one, other = generate(model, _request(LONG + "a frog")), generate(model, _request(LONG + "a rocket"))
    assert _differ(one[0].pixels, other[0].pixels) > 1


def test_a_concept_at_the_windows_edge_keeps_all_its_vectors(model: BaseModel) -> None:
    encoder = PromptEncoder(model)
    big = Embedding({"text_encoder": torch.ones(8, 192)})
    for num_words in range(model.window):
        prepared = encoder.prepare("apple " * num_words + "<my-frog> frog", {FROG: big}, False)
        chunks = prepared.tokenized.chunks["text_encoder"]
        vectors = [[token.row.vector for token in chunk if token.row is not None] for chunk in chunks]
        assert [found for found in vectors if found] == [list(range(8))]


def test_a_prompt_of_too_many_windows_is_refused_with_the_count(model: BaseModel) -> None:
    with pytest.raises(PromptError, match=rf"windows of {model.window - 2} tokens; shorten it to {MAX_CHUNKS}"):
        Engine(model, max_batch=1).submit(_request("apple " * 1000))


def test_attention_weights_are_syntax_only_when_asked_for(model: BaseModel) -> None:
    weighted = _request("a (red:1.6) apple", attention_weights=True)
    one = generate_all(model, [(weighted, {}), (_request("a red apple"), {}), (_request("a (red:1.6) apple"), {})])
    strong, plain, literal = (images[0].pixels for images in one)
    assert _differ(strong, plain) > 1
    assert _differ(literal, strong) > 1
    weighed_by_one = generate(model, _request("a (red:1) apple", attention_weights=True))
    assert _differ(weighed_by_one[0].pixels, generate(model, _request("a red apple"))[0].pixels) == 0


def test_weights_leave_the_mean_of_a_text_where_it_was(model: BaseModel) -> None:
    encoder = PromptEncoder(model)
    plain, weighted = (
        encoder.encode([encoder.prepare(prompt, {}, True)])[0]["hidden"]
        for prompt in ("a red apple", "a (red:1.6) apple")
    )
    assert torch.allclose(weighted.mean(), plain.mean(), rtol=1e-4)
    assert not torch.allclose(weighted, plain, rtol=1e-2)
    # All other tokens give way by the same factor.
    factors = (weighted / plain)[0]
    assert torch.allclose(factors[0], factors[1], rtol=1e-3)
    assert torch.allclose(factors[2], 1.6 * factors[1], rtol=1e-3)


def test_a_placeholder_takes_an_attention_weight(model: BaseModel) -> None:
    mounts = {FROG: _word(model, "frog")}
    drawn = generate(model, _request("a (<my-frog>:1.4)", attention_weights=True), mounts)
    plain = generate(model, _request("a (frog:1.4)", attention_weights=True))
    assert _differ(drawn[0].pixels, plain[0].pixels) == 0


def test_one_name_may_mean_two_embeddings_in_one_batch(model: BaseModel) -> None:
    request = _request("a <my-frog>")
    old, new = {FROG: _word(model, "frog")}, {FROG: _word(model, "rocket")}
    first, second = generate_all(model, [(request, old), (request, new)])
    assert _differ(first[0].pixels, generate(model, request, old)[0].pixels) <= 1
    assert _differ(second[0].pixels, generate(model, request, new)[0].pixels) <= 1
    assert _differ(first[0].pixels, second[0].pixels) > 1


def test_a_prompt_is_encoded_once_for_the_same_concepts(model: BaseModel) -> None:
    engine = Engine(model, max_batch=4)
    for seed in range(3):
        engine.submit(GenerateRequest("a <my-frog>", num_inference_steps=1, seed=seed), {FROG: _word(model, "frog")})
        engine.run_until_idle()
    assert engine.stats.prompt_misses == 2  # the prompt and the empty negative prompt
    engine.submit(GenerateRequest("a <my-frog>", num_inference_steps=1), {FROG: _word(model, "hat")})
    engine.run_until_idle()
    assert engine.stats.prompt_misses == 3


def test_the_base_model_is_the_same_before_and_after(model: BaseModel) -> None:
    before = model.vocabulary("text_encoder").clone()
    generate(model, _request("a <my-frog>"), {FROG: _word(model, "hat")})
    assert torch.equal(model.vocabulary("text_encoder"), before)
