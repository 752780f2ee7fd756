"""Guesses in the store: one is current for each base model, and what a spec names stays."""

import pytest

from tests.guess.small_guess import small_guess
from textinv.errors import CorruptObjectError, InputError
from textinv.models.base import BaseModel
from textinv.registry.guesses import (
    GUESSES,
    current_guess,
    find_digest,
    find_guess,
    guess_key,
    list_guesses,
    load_guess,
    publish_guess,
    put_guess,
    remove_guess,
)
from textinv.store.memory import MemoryStore


def test_the_one_that_was_published_last_is_current_for_its_base_model_and_those_before_stay(emoji: BaseModel) -> None:
    store = MemoryStore()
    first, second, other = (small_guess(emoji), small_guess(emoji, 1), small_guess(emoji, 2, base_revision="f" * 64))
    assert current_guess(store, emoji.revision) is None
    for each in (first, other, second):
        publish_guess(store, each)
    assert current_guess(store, emoji.revision) == second.digest
    assert current_guess(store, "f" * 64) == other.digest
    assert load_guess(store, first.digest) == first
    listed = {one.digest: one.is_current for one in list_guesses(store)}
    assert listed == {first.digest: False, second.digest: True, other.digest: True}


def test_without_the_current_one_the_one_before_it_is_current_again(emoji: BaseModel) -> None:
    store = MemoryStore()
    first, second = small_guess(emoji), small_guess(emoji, 1)
    publish_guess(store, first)
    publish_guess(store, second)
    remove_guess(store, find_digest(store, second.digest[:8]))
    assert current_guess(store, emoji.revision) == first.digest
    remove_guess(store, find_digest(store, first.digest[:8]))
    assert current_guess(store, emoji.revision) is None
    assert list(list_guesses(store)) == []
    with pytest.raises(InputError, match=f"the guess {first.digest[:12]} is not in the store any more"):
        load_guess(store, first.digest)
    with pytest.raises(InputError, match="0 guesses have a digest that starts with"):
        find_guess(store, first.digest[:8])


def test_a_damaged_record_keeps_nobody_from_the_others_and_can_be_removed(emoji: BaseModel) -> None:
    store = MemoryStore()
    first, second = small_guess(emoji), small_guess(emoji, 1)
    publish_guess(store, first)
    publish_guess(store, second)
    store.put(f"{GUESSES}{second.digest}.json", b"{")
    told = rf"{second.digest}\.json cannot be read: .* `textinv guess rm {second.digest[:12]}`$"
    for read in (list_guesses, lambda store: [current_guess(store, emoji.revision)]):
        with pytest.raises(CorruptObjectError, match=told):
            list(read(store))
    assert find_guess(store, first.digest[:12]).record == first.record
    remove_guess(store, find_digest(store, second.digest[:12]))
    assert current_guess(store, emoji.revision) == first.digest
    assert [one.digest for one in list_guesses(store)] == [first.digest]


def test_one_that_was_only_put_there_is_nobodys_current_one(emoji: BaseModel) -> None:
    store = MemoryStore()
    put_guess(store, small_guess(emoji))
    assert current_guess(store, emoji.revision) is None
    assert [one.is_current for one in list_guesses(store)] == [False]


def test_other_bytes_than_were_written_are_noticed(emoji: BaseModel) -> None:
    store, guess = MemoryStore(), small_guess(emoji)
    store.put(guess_key(guess.digest), small_guess(emoji, 1).data)
    with pytest.raises(CorruptObjectError, match="holds other bytes"):
        load_guess(store, guess.digest)
