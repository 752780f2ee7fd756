"""Whose turn it is, and how long it will take."""

from dataclasses import dataclass

import pytest

from textinv.generation.waiting_line import StepTimes, WaitingLine


@dataclass(frozen=True)
class Waiter:
    caller: str
    number: int
    cost: int = 1


def _line(*waiters: Waiter) -> WaitingLine[Waiter]:
    line: WaitingLine[Waiter] = WaitingLine()
    for waiter in waiters:
        line.add(waiter)
    return line


def _take_all(line: WaitingLine[Waiter]) -> list[str]:
    taken = []
    while waiter := line.take(lambda _: True):
        taken.append(f"{waiter.caller}{waiter.number}")
    return taken


def test_callers_take_turns() -> None:
    line = _line(*(Waiter("a", k) for k in range(4)), Waiter("b", 0), Waiter("c", 0), Waiter("b", 1))
    assert _take_all(line) == ["a0", "b0", "c0", "a1", "b1", "a2", "a3"]


def test_a_caller_with_many_users_takes_no_more_turns_than_others_and_its_users_share_them() -> None:
    many = [Waiter(f"a/{user}", k) for user in ("x", "y/z", "w") for k in range(2)]
    line = _line(*many, Waiter("b", 0), Waiter("b", 1), Waiter("c/x", 0))
    assert _take_all(line) == ["a/x0", "b0", "c/x0", "a/y/z0", "b1", "a/w0", "a/x1", "a/y/z1", "a/w1"]


def test_one_whose_turn_it_is_is_not_overtaken_when_it_does_not_fit() -> None:
    line = _line(Waiter("big", 0, cost=9), Waiter("small", 0))
    assert line.take(lambda waiter: waiter.cost < 5) is None
    assert line.take(lambda waiter: waiter.cost < 10) == Waiter("big", 0, cost=9)


def test_leavers_are_removed_and_the_order_stays() -> None:
    line = _line(Waiter("a", 0), Waiter("b", 0), Waiter("a", 1), Waiter("b", 1))
    assert line.remove(lambda waiter: waiter == Waiter("a", 0)) == [Waiter("a", 0)]
    assert _take_all(line) == ["a1", "b0", "b1"]


def test_a_newcomer_waits_for_as_many_of_each_other_caller_as_it_has_itself() -> None:
    line = _line(*(Waiter("a", k) for k in range(9)))
    assert len(line.ahead_of("b")) == 1
    assert len(line.ahead_of("a")) == 9


@pytest.mark.parametrize("newcomer", ["a/x", "a/new", "a", "b", "b/x", "c/new"])
def test_as_many_are_said_to_be_ahead_of_a_newcomer_as_are_served_before_it(newcomer: str) -> None:
    counts = {"a/x": 3, "a/y": 1, "a/z": 2, "b": 2, "c/v": 1, "c/w": 4}
    line = _line(*(Waiter(caller, k) for caller, count in counts.items() for k in range(count)))
    ahead = line.ahead_of(newcomer)
    line.add(Waiter(newcomer, 99))
    served = _take_all(line)
    # A newcomer's place among those of one round depends on who comes first in it; it is told the worse.
    before = served[: served.index(f"{newcomer}99")]
    assert set(before) <= {f"{one.caller}{one.number}" for one in ahead}
    assert len(ahead) - len(before) <= 3


NATIVE, WIDE, LARGE, SMALL = (64, 64), (128, 64), (128, 128), (32, 64)


def test_steps_taken_tell_what_work_takes() -> None:
    times = StepTimes(9)
    times.observe([NATIVE] * 4, 0.2)
    times.observe([NATIVE], 0.1)
    assert times.done_s([], (NATIVE, 10), together=1) == pytest.approx(1.0)
    assert times.done_s([], (NATIVE, 10), together=9) == pytest.approx(4.5)
    assert times.place_s([(NATIVE, 5)] * 8, NATIVE) == 0.0
    assert times.place_s([(NATIVE, 5)] * 10, NATIVE) == pytest.approx(50 * 0.05 * 2 / 10)


def test_a_size_not_yet_drawn_goes_by_its_area() -> None:
    times = StepTimes(1)
    assert times.done_s([], (LARGE, 10), together=1) == times.place_s([(LARGE, 10)], LARGE) == 0.0
    times.observe([NATIVE] * 4, 0.2)
    assert times.done_s([], (LARGE, 10), together=1) == pytest.approx(2.0)


def test_step_times_are_known_from_what_was_measured_before_the_first_picture() -> None:
    times = StepTimes(2)
    times.start_from(NATIVE, {1: 0.1, 2: 0.12, 4: 0.2})
    assert times.done_s([], (NATIVE, 10), together=2) == pytest.approx(1.2)
    assert times.done_s([], (WIDE, 10), together=1) == pytest.approx(1.2)
    assert times.done_s([], (LARGE, 10), together=2) == pytest.approx(4.0)
    assert times.done_s([], (SMALL, 10), together=1) == pytest.approx(0.5)
    # No more than two of them share a batch, and one of two places is free.
    assert times.place_s([(NATIVE, 5)] * 2, NATIVE) == pytest.approx(0.6 / 2)


def test_what_was_measured_is_corrected_by_the_steps_taken() -> None:
    times = StepTimes(8)
    times.start_from(NATIVE, {1: 0.1, 8: 0.4})
    for _ in range(60):
        times.observe([NATIVE], 0.3)
    assert times.done_s([], (NATIVE, 10), together=1) == pytest.approx(3.0, rel=0.01)
    assert times.done_s([], (NATIVE, 10), together=8) == pytest.approx(12.0, rel=0.01)
    assert times.place_s([(NATIVE, 1)] * 10, NATIVE) == pytest.approx(1.5 * 3 / 10, rel=0.01)


def test_one_step_that_was_held_up_does_not_make_all_others_seem_slow() -> None:
    times = StepTimes(8)
    times.start_from(NATIVE, {1: 0.1, 8: 0.4})
    times.observe([NATIVE], 100.0)
    assert times.done_s([], (NATIVE, 10), together=8) < 5.0


def test_sizes_that_share_a_step_share_its_seconds() -> None:
    times = StepTimes(4)
    times.observe([NATIVE, WIDE, NATIVE], 0.4)
    assert times.place_s([(NATIVE, 1), (NATIVE, 1), (WIDE, 1), (NATIVE, 0)], NATIVE) == pytest.approx(0.4 / 4)
