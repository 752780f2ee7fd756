"""The stopping rules fire where their definitions say, and schedules have the shapes that their names say."""

import math
from statistics import pvariance

import pytest

from textinv.plan.spec import StopSpec
from textinv.training.schedules import FLOOR, rate_at
from textinv.training.stopping import dvar_ratio, has_converged, late_gain


def dvar(window: int, threshold: float) -> StopSpec:
    return StopSpec(rule="dvar", every_steps=5, window=window, threshold=threshold, num_samples=8)


GAIN = StopSpec(rule="gain", every_steps=5, window=6, threshold=0.1, num_samples=8)


def falling_then_flat(length: int) -> list[float]:
    """A loss that falls for 20 values, then wobbles by 1 % of the fall."""
    return [math.exp(-index / 5) if index < 20 else 0.02 + 0.01 * (-1) ** index for index in range(length)]


def test_dvar_fires_at_the_first_step_where_the_ratio_of_variances_is_below_the_threshold() -> None:
    history = falling_then_flat(60)
    fired = [n for n in range(1, 61) if has_converged(history[:n], dvar(10, 0.15))]
    by_hand = [n for n in range(10, 61) if pvariance(history[n - 10 : n]) / pvariance(history[:n]) < 0.15]
    assert fired == by_hand
    assert 15 <= fired[0] <= 30


def test_dvar_cannot_fire_before_or_at_the_full_window() -> None:
    history = falling_then_flat(10)
    assert dvar_ratio(history[:9], 10) is None
    assert dvar_ratio(history, 10) == pytest.approx(1)


def test_a_loss_that_keeps_falling_does_not_converge() -> None:
    for rule in (dvar(10, 0.05), GAIN):
        assert not any(has_converged([-0.01 * k for k in range(n)], rule) for n in range(1, 40))


def test_a_constant_loss_has_converged_for_dvar_and_has_gained_nothing_yet() -> None:
    assert has_converged([0.5] * 10, dvar(10, 0.15))
    assert late_gain([0.5] * 10) is None
    assert late_gain([]) is None
    assert not has_converged([0.5] * 10, GAIN)


@pytest.mark.parametrize(
    ("history", "share"),
    [
        ([1.0, 0.5], 1.0),  # the first half is the first look alone
        ([1.0, 0.5, 0.0], 0.5),
        ([1.0, 0.2, 0.6, 0.1, 0.9], 1 / 9),  # 0.8 of 0.9 by the third look
        ([1.0, 0.2, 0.3, 0.3, 0.3], 0.0),
        ([1.0, 2.0, 1.5, 0.5], 1.0),
    ],
)
def test_the_late_gain_is_what_the_second_half_brought(history: list[float], share: float) -> None:
    assert late_gain(history) == pytest.approx(share)


def test_a_concept_that_learns_slowly_is_given_longer_than_one_that_learns_at_once() -> None:
    def stops_at(pace: float) -> int:
        losses = [math.exp(-look / pace) for look in range(200)]
        return next(n for n in range(2, 200) if has_converged(losses[:n], GAIN))

    quick, slow = stops_at(4.0), stops_at(16.0)
    assert slow == pytest.approx(4 * quick, rel=0.1)
    # exp(-x/2) - exp(-x) < 0.1 (1 - exp(-x)) at x = 4.4 paces
    assert quick == pytest.approx(4.4 * 4, abs=2)


def test_a_fixed_rule_never_fires() -> None:
    assert not has_converged([1.0, 0.5, 0.5, 0.5], GAIN.model_copy(update={"rule": "fixed"}))


def test_schedules_warm_up_to_the_peak_and_decay_to_the_floor() -> None:
    for schedule in ("constant", "linear", "cosine"):
        rates = [rate_at(n, peak=0.1, schedule=schedule, warm_up_steps=10, max_steps=100) for n in range(100)]
        assert rates[:10] == pytest.approx([0.01 * (n + 1) for n in range(10)])
        assert max(rates) == pytest.approx(0.1)
        assert rates[-1] == pytest.approx(0.1 if schedule == "constant" else 0.1 * FLOOR, rel=0.3)
        assert schedule == "constant" or rates[10:] == sorted(rates[10:], reverse=True)
