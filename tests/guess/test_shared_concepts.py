"""What a guess learns from where no folder is named: shared concepts whose pictures are there."""

import random
from pathlib import Path

import pytest

from tests.guess.sharing import share
from textinv.errors import InputError
from textinv.guess.measuring import is_held_out
from textinv.guess.shared import SharedConcepts, learnable_shares, pinned_shares
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import own_encoder
from textinv.registry.shares import TAKEN_BACK, give, withdraw
from textinv.spec import image_key
from textinv.store.memory import MemoryStore

NUM = 40


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_each_shared_concept_of_the_base_model_is_learned_from_once_if_its_pictures_are_there(
    store: MemoryStore, emoji: BaseModel
) -> None:
    given = [share(store, number, emoji.revision) for number in range(NUM)]
    share(store, NUM + 1, "f" * 64)  # of another base model
    share(store, NUM + 2, emoji.revision, num_pictures=1)
    give(store, given[5].model_copy(update={"tenant": "the same pictures"}))
    store.delete([image_key(given[6].pictures[0].digest)])
    withdraw(store, [given[7]], TAKEN_BACK)
    found = learnable_shares(store, "emoji", emoji.revision)
    assert sorted(one.concept for one in found) == sorted(f"thing-{n}" for n in range(NUM) if n not in (6, 7))

    concepts = SharedConcepts(found, store, emoji, own_encoder(emoji))
    held_out = {key for key in concepts.held_out if is_held_out(key.partition("~")[0])}
    assert held_out == set(concepts.held_out)
    assert len(concepts.trained) + len(concepts.held_out) == len(found)
    assert {concepts.draw(step, random.Random(step)).kind for step in range(6)} == {"object", "style"}
    example = concepts.draw(0, random.Random(0))
    assert example.mean_PCHW.shape == (2, 4, 16, 16)
    assert [captions[0] for captions in example.captions] == ["a {} in a box", "a photo of a {}"]
    by_id = {one.id: one for one in found}
    assert [one.share for one in concepts.learned_from] == list(concepts.trained)
    assert all(set(one.pictures) == by_id[one.share].digests for one in concepts.learned_from)


def test_too_few_say_how_many_there_are_how_many_it_takes_and_how_to_share(store: MemoryStore) -> None:
    for number in range(3):
        share(store, number, "r" * 64)
    said = r"3 concepts of emoji .* of which 0 are held out: .* fewer than 4, which takes about 30 concepts.*"
    with pytest.raises(InputError, match=said + r"`share_with_guess: true` in a manifest"):
        learnable_shares(store, "emoji", "r" * 64)


def test_a_training_that_was_left_off_learns_from_what_it_began_with_unless_something_was_taken_back(
    store: MemoryStore, tmp_path: Path
) -> None:
    given = [share(store, number, "r" * 64) for number in range(NUM)]
    state = tmp_path / "guesses" / "state.pt"
    began = pinned_shares(store, "emoji", "r" * 64, state)
    state.write_bytes(b"half way")
    share(store, NUM, "r" * 64)
    assert pinned_shares(store, "emoji", "r" * 64, state) == began
    withdraw(store, [given[3]], TAKEN_BACK)
    anew = pinned_shares(store, "emoji", "r" * 64, state)
    assert {one.concept for one in anew} == {f"thing-{n}" for n in range(NUM + 1) if n != 3}
    assert not state.exists()


def test_pictures_that_go_while_it_learns_end_the_training_with_a_reason(store: MemoryStore, emoji: BaseModel) -> None:
    found = [share(store, number, emoji.revision) for number in range(2)]
    concepts = SharedConcepts(found, store, emoji, own_encoder(emoji))
    store.delete([image_key(one.digest) for each in found for one in each.pictures])
    with pytest.raises(InputError, match="were deleted while a guess learned from them: train it again, without them"):
        concepts.draw(0, random.Random(0))
