"""DVAR fires where its definition says, and schedules have the shapes that their names say."""

import math
from statistics import pvariance

import pytest

from textinv.training.rows import FLOOR, rate_at
from textinv.training.slot import dvar_ratio, has_converged


def falling_then_flat(length: int) -> list[float]:
    """A loss that falls for 20 values, then wobbles by 1 % of the fall."""
    return [math.exp(-index / 5) if index < 20 else 0.02 + 0.01 * (-1) ** index for index in range(length)]


def test_dvar_fires_at_the_first_step_where_the_ratio_of_variances_is_below_the_threshold() -> None:
    history = falling_then_flat(60)
    fired = [n for n in range(1, 61) if has_converged(history[:n], window=10, threshold=0.15)]
    by_hand = [n for n in range(10, 61) if pvariance(history[n - 10 : n]) / pvariance(history[:n]) < 0.15]
    assert fired == by_hand
    assert 15 <= fired[0] <= 30


def test_dvar_cannot_fire_before_or_at_the_full_window() -> None:
    history = falling_then_flat(10)
    assert dvar_ratio(history[:9], 10) is None
    assert dvar_ratio(history, 10) == pytest.approx(1)


def test_a_loss_that_keeps_falling_does_not_converge() -> None:
    assert not any(has_converged([-0.01 * k for k in range(n)], 10, 0.05) for n in range(1, 40))


def test_a_constant_loss_has_converged() -> None:
    assert has_converged([0.5] * 10, 10, 0.15)


def test_schedules_start_at_the_peak_and_decay_to_the_floor() -> None:
    for schedule in ("constant", "linear", "cosine"):
        rates = [rate_at(n, peak=0.1, schedule=schedule, max_steps=100) for n in range(100)]
        assert rates[0] == max(rates) == pytest.approx(0.1)
        assert rates[-1] == pytest.approx(0.1 if schedule == "constant" else 0.1 * FLOOR, rel=0.3)
        assert schedule == "constant" or rates == sorted(rates, reverse=True)
