"""Every draw is a pure function of (concept seed, step, purpose)."""

import dataclasses

import numpy as np
import pytest
import torch

from textinv.models.process import Diffusion
from textinv.training.streams import Choices, draw, draw_index, seed_of, stratified

PROCESS = Diffusion({}, torch.device("cpu"))
CHOICES = Choices(num_pictures=3, num_templates=5, band=(300, 700), process=PROCESS, flip=True, latent_shape=(4, 64))


def test_a_step_draws_the_same_whenever_it_is_asked_for() -> None:
    first = [draw(7, step, 4, CHOICES) for step in range(5)]
    again = [draw(7, step, 4, CHOICES) for step in reversed(range(5))][::-1]
    for one, two in zip(first, again, strict=True):
        for field in ("pictures_B", "flips_B", "captions_B", "timesteps_B", "noises_2BCA"):
            assert np.array_equal(getattr(one, field), getattr(two, field))


def test_steps_seeds_and_purposes_draw_differently() -> None:
    noises = [
        *draw(7, 0, 4, CHOICES).noises_2BCA,
        *draw(7, 1, 4, CHOICES).noises_2BCA,
        *draw(8, 0, 4, CHOICES).noises_2BCA,
        *draw(7, 0, 4, CHOICES, "evaluate").noises_2BCA,
    ]
    assert all(not np.array_equal(a, b) for i, a in enumerate(noises) for b in noises[:i])
    assert seed_of(1, "a", 23) != seed_of(1, "a", 2, 3)


def test_the_timestep_band_is_respected_and_covered() -> None:
    drawn = np.concatenate([draw(3, step, 4, CHOICES).timesteps_B for step in range(400)])
    assert drawn.min() >= 300
    assert drawn.max() < 700
    assert drawn.min() < 305
    assert drawn.max() > 694
    assert abs(drawn.mean() - 500) < 5


def test_each_part_of_the_band_gets_one_timestep() -> None:
    timesteps = PROCESS.times((0, 1000), stratified(np.random.default_rng(0).random(10, np.float32)))
    assert (timesteps // 100).tolist() == list(range(10))
    assert PROCESS.times((0, 1000), stratified(np.full(2, 1 - 1e-7, np.float32))).max() <= 999


def test_pictures_and_captions_come_in_rounds_that_use_each_equally_often() -> None:
    drawn = [draw(1, step, 5, CHOICES) for step in range(6)]
    assert np.bincount(np.concatenate([one.pictures_B for one in drawn])).tolist() == [10, 10, 10]
    assert np.bincount(np.concatenate([one.captions_B for one in drawn])).tolist() == [6] * 5


def test_nothing_is_flipped_when_flips_are_off() -> None:
    without = Choices(3, 5, (0, 1000), PROCESS, False, (4, 8, 8))
    assert not any(draw(1, step, 4, without).flips_B.any() for step in range(20))
    assert any(draw(1, step, 4, CHOICES).flips_B.any() for step in range(20))


def test_draws_are_those_that_concepts_were_learned_by_before() -> None:
    """Of other draws a resumed concept would become another, and a fingerprint would promise what is not so."""
    choices = dataclasses.replace(CHOICES, own_captions=(-1, 5, -1))
    drawn = draw(7, 11, 4, choices)
    assert drawn.pictures_B.tolist() == [1, 1, 0, 2]
    assert drawn.flips_B.tolist() == [0, 1, 1, 1]
    assert drawn.captions_B.tolist() == [5, 5, 1, 2]
    assert drawn.timesteps_B.tolist() == [303, 498, 561, 672]
    assert drawn.noises_2BCA[:, 2, 1, 3 * 8 + 4].tolist() == pytest.approx([-0.9941419363, -0.0491528064], rel=1e-5)
    assert draw(7, 0, 4, choices, "evaluate").timesteps_B.tolist() == [347, 474, 555, 648]
    assert [draw_index(7, "context", step, 16) for step in range(5)] == [0, 9, 7, 6, 2]
