"""`<name:0.7>` and `<a+b>`: rows between rows, which are drawn as any others."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import PromptError
from textinv.generation.blending import at_strength, between, ingredient_of, mixed
from textinv.generation.draw import generate, generate_all
from textinv.generation.engine import Engine
from textinv.generation.infotext import read_infotext
from textinv.generation.request import GenerateRequest, read_request
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion


def concept(model: BaseModel, name: str, rows_ND: Tensor, word: str | None = "fox") -> PublishedVersion:
    record = {} if word is None else {"spec": {"class_word": word}}
    embedding = Embedding({"text_encoder": rows_ND})
    return PublishedVersion(
        name, 1, "run", "emoji", model.revision, embedding, embedding.digest, record, "2026-11-30", None
    )


@pytest.fixture
def mounts(model: BaseModel) -> dict[ConceptRef, PublishedVersion]:
    """Three concepts: two foxes, whose rows are those of other words and longer, and an imported one."""
    crab, owl = (1.5 * model.token_rows("text_encoder", word)[:1] for word in ("crab", "owl"))
    found = {"fox": concept(model, "fox", crab), "other": concept(model, "other", owl)}
    found["imported"] = concept(model, "imported", crab, None)
    return {ConceptRef(name): version for name, version in found.items()}


def draw(model: BaseModel, mounts: dict[ConceptRef, PublishedVersion], prompt: str) -> np.ndarray:
    (picture,) = generate(model, GenerateRequest(prompt, num_inference_steps=2, seed=3), mounts)
    return picture.pixels


def test_rows_turn_by_equal_angles_and_lengths_are_interpolated() -> None:
    start_ND, end_ND = torch.tensor([[2.0, 0.0, 0.0]]), torch.tensor([[0.0, 4.0, 0.0]])
    for share, angle in ((0.0, 0.0), (0.25, 22.5), (0.5, 45.0), (1.0, 90.0), (1.5, 135.0)):
        (row_D,) = between(start_ND, end_ND, share)
        assert math.degrees(math.atan2(float(row_D[1]), float(row_D[0]))) == pytest.approx(angle, abs=1e-3)
        assert float(row_D.norm()) == pytest.approx(2 + 2 * min(share, 1.0), rel=1e-5)


def test_rows_of_one_direction_and_of_opposite_ones_stay_finite() -> None:
    row_ND = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.allclose(between(row_ND, 3 * row_ND, 0.5), 2 * row_ND)
    for share in (0.25, 0.5, 1.0):
        assert bool(torch.isfinite(between(row_ND, -row_ND, share)).all())


def test_strength_1_is_the_concept_and_0_its_class_word(
    model: BaseModel, mounts: dict[ConceptRef, PublishedVersion]
) -> None:
    assert np.array_equal(draw(model, mounts, "a <fox:1>"), draw(model, mounts, "a <fox>"))
    assert np.array_equal(draw(model, mounts, "a <fox:0>"), draw(model, mounts, "a fox"))
    half = draw(model, mounts, "a <fox:0.5>")
    assert not np.array_equal(half, draw(model, mounts, "a <fox>"))
    assert not np.array_equal(half, draw(model, mounts, "a fox"))


def test_a_mixture_is_what_its_shares_say(model: BaseModel, mounts: dict[ConceptRef, PublishedVersion]) -> None:
    first, second = draw(model, mounts, "a <fox>"), draw(model, mounts, "a <other>")
    assert np.array_equal(draw(model, mounts, "a <fox:1+other:0>"), first)
    assert np.array_equal(draw(model, mounts, "a <fox:0+other:1>"), second)
    middle = draw(model, mounts, "a <fox+other>")
    assert np.array_equal(middle, draw(model, mounts, "a <fox:0.5+other:0.5>"))
    assert not np.array_equal(middle, first)
    assert not np.array_equal(middle, second)


def test_a_picture_is_the_same_whoever_shares_its_batch(
    model: BaseModel, mounts: dict[ConceptRef, PublishedVersion]
) -> None:
    prompts = ("a <fox:0.3>", "a <fox:0.7>", "a <fox+other>", "a <fox>")
    requests = [GenerateRequest(prompt, num_inference_steps=2, seed=3) for prompt in prompts]
    together = generate_all(model, [(request, mounts) for request in requests])
    for prompt, (picture,) in zip(prompts, together, strict=True):
        assert np.abs(picture.pixels.astype(int) - draw(model, mounts, prompt)).max() <= 1


def test_encodings_are_remembered_by_strength(model: BaseModel, mounts: dict[ConceptRef, PublishedVersion]) -> None:
    engine = Engine(model, max_batch=4)
    for prompt in ("a <fox:0.3>", "a <fox:0.7>", "a <fox:0.3>"):
        engine.submit(GenerateRequest(prompt, num_inference_steps=1, guidance_scale=1.0), mounts)
        engine.run_until_idle()
    assert engine.stats.prompt_hits >= 1
    assert engine.stats.prompt_misses >= 2


def test_the_infotext_tells_the_strength_and_is_read_back(
    model: BaseModel, mounts: dict[ConceptRef, PublishedVersion]
) -> None:
    request = GenerateRequest("a <fox:0.3+other:0.7>", num_inference_steps=1, seed=3)
    (picture,) = generate(model, request, mounts)
    told = read_infotext(picture.infotext)
    assert set(told.concept_hashes) == {"fox@1", "other@1"}
    again = replace(read_request(told), num_inference_steps=1)
    assert again.prompt == request.prompt
    (same,) = generate(model, again, mounts)
    assert np.array_equal(same.pixels, picture.pixels)


def test_beyond_the_antipode_nothing_goes_and_that_is_told(model: BaseModel) -> None:
    word_ND = model.token_rows("text_encoder", "fox")[:1].detach().float().cpu()
    noise_ND = torch.randn(word_ND.shape, generator=torch.Generator().manual_seed(0))
    far_ND = 0.1 * noise_ND * word_ND.norm() / noise_ND.norm() - word_ND
    one = ingredient_of("fox", Embedding({"text_encoder": far_ND}), {"spec": {"class_word": "fox"}})
    blended = at_strength(model, one, 1.5)
    (note,) = blended.notes
    assert note.startswith("<fox:1.5> is drawn at 1.0")
    cosine = torch.nn.functional.cosine_similarity(blended.embedding.rows["text_encoder"], word_ND)
    assert float(cosine) == pytest.approx(-1.0, abs=1e-4)
    assert at_strength(model, one, 1.0).notes == ()


def test_what_cannot_be_slid_or_mixed_says_why(model: BaseModel, mounts: dict[ConceptRef, PublishedVersion]) -> None:
    with pytest.raises(PromptError, match="its record names no class word"):
        draw(model, mounts, "a <imported:0.5>")
    fox = ingredient_of("fox", mounts[ConceptRef("fox")].embedding, {"spec": {"class_word": "fox"}})
    teapot = fox._replace(name="pot", word="teapot")
    with pytest.raises(PromptError, match="<fox> is a kind of fox and <pot> a kind of teapot"):
        mixed(fox, teapot, 0.5)
    long = fox._replace(name="long", embedding=Embedding({"text_encoder": torch.ones(3, 192)}))
    with pytest.raises(PromptError, match="<fox> has 1 vectors and <long> 3"):
        mixed(fox, long, 0.5)
    assert mixed(fox, fox._replace(word=None), 0.5).embedding.num_vectors == 1


def test_words_that_a_concept_started_from_stand_in_for_a_class_word(model: BaseModel) -> None:
    rows = Embedding({"text_encoder": torch.ones(1, 192)})
    assert ingredient_of("a", rows, {"spec": {"class_word": None}, "started_from": "red fox"}).word == "red fox"
    assert ingredient_of("a", rows, {"spec": "none"}).word is None
