"""A guess that learned from what was taken back since is not used, and nobody has to remember to say so."""

from collections.abc import Sequence

import pytest

from tests.guess.sharing import share
from tests.guess.small_guess import small_guess
from textinv.errors import InputError
from textinv.models.base import BaseModel
from textinv.registry.guesses import (
    GuessFile,
    LearnedFrom,
    check_usable,
    current_guess,
    list_guesses,
    newest_guess,
    publish_guess,
    put_guess,
    remove_guess,
)
from textinv.registry.shares import OPTED_OUT, PURGED, TAKEN_BACK, Share, give, withdraw
from textinv.store.memory import MemoryStore


def learned_from(emoji: BaseModel, given: Sequence[Share], seed: int = 0) -> GuessFile:
    """A guess whose record says that it learned from these."""
    named = tuple(LearnedFrom(share=one.id, tenant=one.tenant, pictures=tuple(one.digests)) for one in given)
    return small_guess(emoji, seed, shares=named)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def test_it_is_stale_from_the_moment_on_that_something_was_taken_back_and_says_why(
    store: MemoryStore, emoji: BaseModel
) -> None:
    given = [share(store, number, emoji.revision) for number in range(4)]
    guess = learned_from(emoji, given[:3])
    publish_guess(store, guess)
    withdraw(store, [given[3]], TAKEN_BACK)  # it did not learn from that
    assert current_guess(store, emoji.revision) == guess.digest
    check_usable(store, guess)
    withdraw(store, given[:1], PURGED)
    withdraw(store, given[1:2], OPTED_OUT)
    assert current_guess(store, emoji.revision) is None
    why = f"2 of the 3 concepts that it learned from were withdrawn: {PURGED} (1), {OPTED_OUT} (1)"
    newest = newest_guess(store, emoji.revision)
    assert newest is not None
    assert (newest.digest, newest.is_current, newest.stale) == (guess.digest, True, why)
    assert [(one.is_current, one.stale) for one in list_guesses(store)] == [(True, why)]
    with pytest.raises(InputError, match=r"is stale, as 2 of the 3 .*`textinv guess train --base"):
        check_usable(store, guess)


def test_what_was_taken_back_while_it_was_trained_keeps_it_from_being_published(
    store: MemoryStore, emoji: BaseModel
) -> None:
    given = [share(store, 0, emoji.revision)]
    before, guess = small_guess(emoji, 1), learned_from(emoji, given)
    publish_guess(store, before)
    withdraw(store, given, TAKEN_BACK)
    with pytest.raises(InputError, match=r"is stale, as 1 of the 1 concepts"):
        publish_guess(store, guess)
    assert current_guess(store, emoji.revision) == before.digest


def test_one_that_is_trained_anew_is_used_again_and_so_is_the_one_before_where_the_stale_one_is_removed(
    store: MemoryStore, emoji: BaseModel
) -> None:
    given = [share(store, number, emoji.revision) for number in range(2)]
    first, second = small_guess(emoji, 1), learned_from(emoji, given)
    publish_guess(store, first)
    publish_guess(store, second)
    withdraw(store, given[:1], TAKEN_BACK)
    assert current_guess(store, emoji.revision) is None
    anew = learned_from(emoji, given[1:], seed=2)
    publish_guess(store, anew)
    assert current_guess(store, emoji.revision) == anew.digest
    remove_guess(store, anew.digest)
    remove_guess(store, second.digest)
    assert current_guess(store, emoji.revision) == first.digest


def test_what_is_shared_again_counts_again(store: MemoryStore, emoji: BaseModel) -> None:
    given = [share(store, 0, emoji.revision)]
    publish_guess(store, guess := learned_from(emoji, given))
    withdraw(store, given, TAKEN_BACK)
    assert current_guess(store, emoji.revision) is None
    give(store, given[0])
    assert current_guess(store, emoji.revision) == guess.digest


def test_a_guess_whose_record_was_not_written_as_somebody_died_is_completed_by_the_next_one_who_brings_it(
    store: MemoryStore, emoji: BaseModel
) -> None:
    guess = small_guess(emoji)
    put_guess(store, guess)
    store.delete([f"guesses/{guess.digest}.json"])
    put_guess(store, guess)
    assert [one.digest for one in list_guesses(store)] == [guess.digest]
