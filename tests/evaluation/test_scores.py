"""Scores from features and rows."""

import pytest
import torch

from textinv.evaluation.scores import all_pairs, matched, norm_ratio, within


def unit(*rows: tuple[float, ...]) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.tensor(rows), dim=-1)


def test_fidelity_is_the_mean_cosine_over_all_pairs() -> None:
    drawn, real = unit((1.0, 0.0), (0.0, 1.0)), unit((1.0, 0.0), (1.0, 1.0))
    assert all_pairs(drawn, real) == pytest.approx((1 + 0.5**0.5 + 0 + 0.5**0.5) / 4)


def test_real_to_real_leaves_a_picture_with_itself_out() -> None:
    assert within(unit((1.0, 0.0), (0.0, 1.0))) == pytest.approx(0)
    assert within(unit((1.0, 0.0), (1.0, 0.0), (0.0, 1.0))) == pytest.approx(1 / 3)
    assert within(unit((1.0, 0.0))) is None


def test_editability_compares_each_picture_with_its_own_prompt() -> None:
    assert matched(unit((1.0, 0.0), (0.0, 1.0)), unit((1.0, 0.0), (1.0, 0.0))) == pytest.approx(0.5)


def test_the_length_of_rows_is_compared_with_the_vocabularys() -> None:
    assert norm_ratio(torch.tensor([[3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]])) == pytest.approx(2.5)
