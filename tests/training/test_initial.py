"""Where rows start."""

import base64
from collections.abc import Callable

import numpy as np
import pytest
import torch

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.models.word_rows import spread
from textinv.training import ConceptPack, Work
from textinv.training.record import cosine_to
from textinv.training.train import learn


def starting_rows(model: BaseModel, work: Work) -> torch.Tensor:
    pack = ConceptPack(model, 1)
    slot = pack.add(work)
    pack.look()
    return slot.latest_rows["text_encoder"]


def test_tokens_are_spread_over_the_vectors() -> None:
    tokens = torch.eye(3)
    assert torch.equal(spread(tokens[:1], 3), tokens[[0, 0, 0]])
    assert torch.equal(spread(tokens[:2], 4), tokens[[0, 0, 1, 1]])
    assert torch.equal(spread(tokens, 3), tokens)
    assert torch.equal(spread(tokens, 1), tokens.mean(0, keepdim=True))


def test_rows_start_at_the_initializer_and_on_the_sphere_when_they_live_there(
    model: BaseModel, works: Callable[..., Work], adamw: object
) -> None:
    word = model.token_rows("text_encoder", "fox").float()
    assert torch.equal(starting_rows(model, works("a", init="fox", optimizer=adamw)), word)
    on_sphere = starting_rows(model, works("a", init="fox"))
    assert torch.nn.functional.cosine_similarity(on_sphere, word).item() == pytest.approx(1)
    assert on_sphere.norm().item() == pytest.approx(model.vocabulary("text_encoder").float().norm(dim=-1).mean().item())


def test_rows_may_start_from_an_embedding(model: BaseModel, works: Callable[..., Work], adamw: object) -> None:
    given = Embedding({"text_encoder": torch.randn(1, model.encoder_widths["text_encoder"])})
    data = base64.b64encode(given.to_bytes()).decode()
    work = works("a", init="<other@2>", init_embedding=data, optimizer=adamw)
    assert torch.equal(starting_rows(model, work), given.rows["text_encoder"])
    narrow = base64.b64encode(Embedding({"text_encoder": torch.randn(1, 8)}).to_bytes()).decode()
    with pytest.raises(BaseModelMismatchError, match="8"):
        ConceptPack(model, 1).add(works("a", init_embedding=narrow))


def test_an_initializer_without_tokens_and_a_caption_without_its_place_are_errors(
    model: BaseModel, works: Callable[..., Work]
) -> None:
    with pytest.raises(PromptError, match="initializer"):
        ConceptPack(model, 1).add(works("a", init=" "))
    with pytest.raises(PromptError, match=r"\{\}"):
        ConceptPack(model, 1).add(works("a", templates=("a photo",)))


def red_picture() -> list[Picture]:
    return [Picture(np.full((64, 64, 3), (220, 40, 40), np.uint8), None, "red", "red.png")]


def test_auto_takes_rows_of_the_vocabulary_and_the_record_says_how_far_they_went(
    model: BaseModel, works: Callable[..., Work], adamw: object
) -> None:
    few = {"samples_per_step": 1, "max_steps": 10, "min_steps": 10}
    work = works("a", init="auto", optimizer=adamw, num_vectors=2, **few)
    rows = starting_rows(model, work)
    vocabulary = model.vocabulary("text_encoder").float()
    assert all((row == vocabulary).all(-1).any() for row in rows)
    assert not torch.equal(rows[0], rows[1])
    learned = learn(model, [work], num_slots=1).concepts["a"]
    assert learned.record["started_from"] not in ("", "auto")
    moved = torch.nn.functional.cosine_similarity(learned.embedding.rows["text_encoder"], rows, dim=-1).mean()
    assert learned.record["cosine_to_initializer"]["text_encoder"] == pytest.approx(float(moved), abs=1e-4)
    assert moved < 0.999
    assert cosine_to(torch.tensor([[1.0, 1.0]]), torch.tensor([[2.0, 0.0]])) == pytest.approx(0.5**0.5)


def test_auto_without_a_clip_takes_the_shortlisted_word_with_the_lowest_loss(
    tiny: BaseModel, works: Callable[..., Work], adamw: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tiny.clip is None
    monkeypatch.setattr("textinv.training.ranking.SHORTLIST", ("ball", "house", "frog", "fish", "apple"))
    pack = ConceptPack(tiny, 1)
    slot = pack.add(works("a", init="auto", optimizer=adamw))
    pack.look()
    losses = set()
    for word in ("ball", "fish", "house"):
        other = ConceptPack(tiny, 1)
        rival = other.add(works("b", init=word, optimizer=adamw))
        other.look()
        assert slot.history[0].loss <= rival.history[0].loss + 1e-5
        losses.add(rival.history[0].loss)
    assert len(losses) == 3


def test_a_start_that_this_program_cannot_fetch_needs_a_newer_worker(
    tiny: BaseModel, works: Callable[..., Work]
) -> None:
    learned = learn(tiny, [works("fox", init="guess", start_digest="d" * 64)], num_slots=1)
    assert learned.errors["fox"].code == "needs_newer_worker"
    assert "fox starts from 'guess' (dddddddddddd)" in learned.errors["fox"].message
