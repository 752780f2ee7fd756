"""Where rows start."""

import base64
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from textinv.embedding import Embedding
from textinv.errors import BaseModelMismatchError, PromptError
from textinv.models.base import BaseModel
from textinv.models.word_rows import spread
from textinv.training import ConceptPack, Start, Work
from textinv.training.record import cosine_to
from textinv.training.slot import Slot
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


def given(model: BaseModel, value: float, count: int = 1) -> Start:
    """Rows that come with the work."""
    rows = torch.full((count, model.encoder_widths["text_encoder"]), value)
    return Start("guess 1a2b", lambda _: Embedding({"text_encoder": rows}))


def test_rows_that_come_with_the_work_are_what_it_starts_from(
    tiny: BaseModel, works: Callable[..., Work], adamw: object
) -> None:
    start = given(tiny, 0.25, 2)
    fields = {"init": "guess", "start_digest": "d" * 64, "num_vectors": 2}
    work = replace(works("a", **fields, optimizer=adamw), start=start)
    assert torch.equal(starting_rows(tiny, work), start.rows(tiny).rows["text_encoder"])
    once = replace(works("a", **fields, max_steps=1, min_steps=1), start=start)
    record = learn(tiny, [once], num_slots=1).concepts["a"].record
    assert (record["start"], record["started_from"]) == ("guess 1a2b", "")
    narrow = Start("guess 1a2b", lambda _: Embedding({"text_encoder": torch.ones(1, 8)}))
    with pytest.raises(BaseModelMismatchError, match="what a is to start from does not fit"):
        ConceptPack(tiny, 1).add(replace(work, start=narrow))


def test_auto_takes_the_better_of_words_and_what_comes_with_the_work(
    model: BaseModel, works: Callable[..., Work]
) -> None:
    def opened(init: str, start: Start | None) -> Slot:
        pack, digest = ConceptPack(model, 1), start and "d" * 64
        slot = pack.add(replace(works("a", init=init, start_digest=digest), start=start))
        pack.look()
        return slot

    long = works("a", init="auto", max_steps=30)
    learned = learn(model, [long], num_slots=1).concepts["a"].embedding.rows["text_encoder"]
    words, taken = opened("auto", None), []
    for rows in (learned, -learned):
        start = Start("guess 1a2b", lambda _, rows=rows: Embedding({"text_encoder": rows}))
        alone, either = opened("guess", start), opened("auto", start)
        losses = [slot.history[0].loss for slot in (words, alone)]
        assert either.history[0].loss == pytest.approx(min(losses), rel=1e-5)
        taken.append(either.start)
        assert either.started_from == words.started_from  # the words stay known: scores are compared with them
    assert taken == ["guess 1a2b", ""]


def test_a_concept_of_no_steps_is_published_with_its_evidence_beside_others_that_learn(
    tiny: BaseModel, works: Callable[..., Work]
) -> None:
    start = given(tiny, 0.25)
    instant = {"init": "guess", "start_digest": "d" * 64, "max_steps": 0, "min_steps": 0}
    at_once = [replace(works(f"at-once-{number}", **instant), start=start) for number in range(2)]
    learning = [works("learning", max_steps=3, min_steps=3), works("later", "teal", max_steps=2, min_steps=2)]
    learned = learn(tiny, [learning[0], at_once[0], learning[1], at_once[1]], num_slots=2)
    assert learned.errors == {}
    alone = learn(tiny, [learning[0]], num_slots=2)
    for name in ("at-once-0", "at-once-1"):
        record = learned.concepts[name].record
        assert (record["steps"], record["sample_passes"], record["stopped"]) == (0, 0, "untrained")
        assert [seen["step"] for seen in record["trace"]] == [0]
        direction = learned.concepts[name].embedding.rows["text_encoder"] / start.rows(tiny).rows["text_encoder"]
        assert torch.allclose(direction, direction[0, 0].expand_as(direction), rtol=1e-5)
    assert learned.concepts["learning"].record["steps"] == 3
    found, wanted = (one.concepts["learning"].embedding.rows["text_encoder"] for one in (learned, alone))
    assert torch.allclose(found, wanted, atol=1e-5)
