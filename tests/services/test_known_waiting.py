"""Sending callers away by what studios said of those who wait."""

from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

import pytest

from services.drawing.known_waiting import BELIEVED_S, FORGOTTEN_S, KnownWaiting
from services.drawing.remote_studio import RemoteStudio
from services.drawing.studio import Begun, DrawEvent, Drawn, Refused, Waiting
from textinv.errors import OverloadedError
from textinv.generation.request import GenerateRequest
from textinv.generation.waiting_line import EngineLimits

LIMITS = EngineLimits(max_waiting=4)
ONE, THREE = GenerateRequest("a frog"), GenerateRequest("a frog", num_images=3)


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known(clock: Clock) -> KnownWaiting:
    return KnownWaiting(clock)


def refused(known: KnownWaiting, request: GenerateRequest = ONE) -> OverloadedError | None:
    """What is said instead of sending a request."""
    try:
        with known.sending(request):
            return None
    except OverloadedError as error:
        return error


def test_who_has_heard_nothing_asks(known: KnownWaiting) -> None:
    assert refused(known) is None


def test_a_full_studio_sends_away_with_the_time_it_takes_until_another_word_or_for_a_moment(
    known: KnownWaiting, clock: Clock
) -> None:
    known.hear(Waiting("a", LIMITS, 64, 4, 7.5))
    said = refused(known)
    assert said is not None
    assert said.details["retry_after_s"] == 2
    assert said.message == "the queue is full: 4 pictures wait and 4 may; come back later"
    known.hear(Waiting("a", LIMITS, 64, 3, 6.0))
    assert refused(known) is None
    assert refused(known, THREE) is not None
    known.hear(Waiting("a", LIMITS, 64, 4, 7.5))
    clock.now_s += BELIEVED_S
    assert refused(known) is None


def test_a_studio_that_is_too_slow_sends_away(known: KnownWaiting) -> None:
    limits = EngineLimits(max_waiting=100, max_wait_s=5.0)
    known.hear(Waiting("a", limits, 64, 10, 5.1))
    assert refused(known) is not None
    known.hear(Waiting("a", limits, 64, 10, 4.9))
    with known.sending(ONE):
        assert refused(known) is not None  # behind eleven it is 5.3 s
    assert refused(known) is None
    known.hear(Waiting("a", limits, 64, 10, 5.1))
    assert refused(known, GenerateRequest("a frog", width_px=32, height_px=32)) is None  # which nothing was said of


def test_what_is_sent_takes_room_until_it_is_answered(known: KnownWaiting) -> None:
    known.hear(Waiting("a", LIMITS, 64, 2, 1.0))
    with ExitStack() as stack:
        answers = [stack.enter_context(known.sending(ONE)) for _ in range(2)]
        assert refused(known) is not None
        answers[0]()
        answers[0]()
        assert refused(known) is None
        assert refused(known, THREE) is not None
    assert refused(known, THREE) is not None
    known.hear(Waiting("a", LIMITS, 64, 1, 1.0))
    assert refused(known, THREE) is None


def test_what_waits_for_long_without_an_answer_does_not_keep_others_away(known: KnownWaiting, clock: Clock) -> None:
    """It has no place in the line: its concept is being fetched from a store that hangs."""
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(known.sending(ONE))
        known.hear(Waiting("a", LIMITS, 64, 0, 0.0))
        assert refused(known) is not None
        clock.now_s += BELIEVED_S
        known.hear(Waiting("a", LIMITS, 64, 0, 0.0))
        assert refused(known) is None


def test_while_one_studio_has_room_or_is_silent_it_is_asked(known: KnownWaiting, clock: Clock) -> None:
    known.hear(Waiting("a", LIMITS, 64, 4, 40.0))
    known.hear(Waiting("b", LIMITS, 64, 3, 3.0))
    assert refused(known) is None
    clock.now_s += 0.6 * BELIEVED_S
    known.hear(Waiting("b", LIMITS, 64, 4, 4.0))
    said = refused(known)
    assert said is not None
    assert said.details["retry_after_s"] == 1  # the shorter one
    clock.now_s += 0.6 * BELIEVED_S
    assert refused(known) is None  # the one that has been silent may have room
    clock.now_s += FORGOTTEN_S - BELIEVED_S
    known.hear(Waiting("b", LIMITS, 64, 4, 4.0))
    assert refused(known) is not None  # it is gone


def test_more_than_can_ever_wait_is_for_the_studio_to_say(known: KnownWaiting) -> None:
    known.hear(Waiting("a", LIMITS, 64, 4, 1.0))
    assert refused(known, GenerateRequest("a frog", num_images=5)) is None


class OneStudio:
    """A handle whose replica gives the events that are put into it."""

    def __init__(self) -> None:
        self.answers: list[list[DrawEvent | Refused]] = []
        self.num_cancelled = 0
        self.draw = self

    def options(self, **_: Any) -> "OneStudio":
        return self

    def remote(self, *_: Any) -> "OneStudio":
        return self

    def cancel(self) -> None:
        self.num_cancelled += 1

    async def __aiter__(self) -> AsyncIterator[DrawEvent | Refused]:
        for event in self.answers.pop(0):
            yield event


@pytest.mark.anyio
async def test_a_front_that_was_told_of_a_full_studio_does_not_ask_again_until_a_picture_is_done() -> None:
    handle = OneStudio()
    studio = RemoteStudio(handle)  # type: ignore[arg-type]
    full, free = Waiting("a", LIMITS, 64, 4, 9.0), Waiting("a", LIMITS, 64, 3, 9.0)
    handle.answers = [[Begun({}, full), Drawn((), free)], [Refused(OverloadedError("full", retry_after_s=3), full)]]
    drawing = studio.draw(ONE)
    assert isinstance(await anext(drawing), Begun)
    with pytest.raises(OverloadedError, match="4 pictures wait"):
        await anext(studio.draw(ONE))
    assert len(handle.answers) == 1
    assert isinstance(await anext(drawing), Drawn)
    with pytest.raises(OverloadedError, match="full"):
        await anext(studio.draw(ONE))
    await drawing.aclose()
    assert handle.num_cancelled == 1  # the one that was left before its end, not the one that was refused
