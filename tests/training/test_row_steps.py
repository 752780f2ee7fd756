"""The arithmetic of one packed optimizer step."""

import math

import pytest
import torch
from torch import Tensor

from textinv.training.rows import RowState, StepSettings

NORM = 0.37


def settings(num_slots: int, **given: float | list[float]) -> StepSettings[Tensor]:
    """Settings of a step; what is not given is off."""
    defaults: dict[str, float | list[float]] = {
        "live": 1, "sphere": 1, "rate": 0.08, "number": 1, "kappa": 0,
    }  # fmt: skip
    values = {**defaults, **given}
    return StepSettings(
        *(torch.ones(num_slots, 1, 1) * torch.tensor(value).reshape(-1, 1, 1) for value in values.values())
    )


def fresh(num_slots: int, num_vectors: int = 2, width: int = 16, seed: int = 0) -> RowState:
    rows = torch.randn(num_slots, num_vectors, width, generator=torch.Generator().manual_seed(seed))
    rows = torch.nn.functional.normalize(rows, dim=-1) * NORM
    zeros = torch.zeros_like(rows)
    return RowState(rows, rows / NORM, zeros.clone(), zeros.clone(), NORM)


def gradients(state: RowState, seed: int) -> Tensor:
    return torch.randn(state.rows_SVD.shape, generator=torch.Generator().manual_seed(seed))


def test_the_sphere_step_keeps_the_norm_exactly() -> None:
    state = fresh(4, width=768)
    for step in range(200):
        state.advance(gradients(state, step), settings(4, number=step + 1, rate=0.3))
    norms = state.rows_SVD.norm(dim=-1)
    assert torch.allclose(norms, torch.full_like(norms, NORM), rtol=1e-6, atol=0)


def angles(before: Tensor, after: Tensor) -> Tensor:
    return torch.acos((before * after).sum(-1) / NORM**2)


def test_a_first_sphere_step_is_as_long_as_its_angle_whatever_the_gradient() -> None:
    for scale in (1e-6, 1.0, 1e6):
        state = fresh(3)
        before = state.rows_SVD.clone()
        state.advance(gradients(state, 1) * scale, settings(3, rate=0.2))
        assert torch.allclose(angles(before, state.rows_SVD), torch.full((3, 2), 0.2), atol=1e-4)


def test_sphere_steps_shrink_where_the_gradient_turns_about_and_are_never_longer_than_the_angle() -> None:
    state, ways = fresh(1, num_vectors=1), torch.randn(2, 1, 1, 16, generator=torch.Generator().manual_seed(3))
    lengths = []
    for number in range(60):
        before = state.rows_SVD.clone()
        state.advance(ways[0] * (-1) ** number if number < 20 else ways[1], settings(1, rate=0.01, number=number + 1))
        lengths.append(angles(before, state.rows_SVD).item())
    assert lengths[0] == pytest.approx(0.01, abs=3e-4)
    assert max(lengths) < 0.0103
    assert max(lengths[10:20]) < 0.004  # little more than the share of the latest direction
    assert lengths[-1] > 0.008


def test_a_sphere_step_goes_downhill_and_the_prior_pulls_to_its_anchor() -> None:
    goal = torch.nn.functional.normalize(torch.randn(1, 1, 16), dim=-1)
    state = fresh(1, num_vectors=1)
    for number in range(100):
        state.advance(-goal, settings(1, number=number + 1, rate=0.05))
    assert torch.nn.functional.cosine_similarity(state.rows_SVD, goal, dim=-1).item() > 0.99
    for number in range(100):
        state.advance(torch.zeros_like(goal), settings(1, number=number + 1, rate=0.05, kappa=1e-4))
    assert torch.nn.functional.cosine_similarity(state.rows_SVD, state.anchor_SVD, dim=-1).item() > 0.99


def test_adamw_is_what_torch_calls_adamw() -> None:
    state = fresh(3)
    parameter = torch.nn.Parameter(state.rows_SVD.clone())
    reference = torch.optim.AdamW([parameter], lr=5e-3, weight_decay=0)
    for step in range(30):
        gradient = gradients(state, step)
        parameter.grad = gradient.clone()
        reference.step()
        state.advance(gradient, settings(3, sphere=0, rate=5e-3, number=step + 1))
    assert torch.allclose(state.rows_SVD, parameter, atol=1e-6)


def test_slots_with_different_methods_do_not_touch_each_other() -> None:
    both = fresh(2)
    alone = [part_of(both, slot) for slot in range(2)]
    for step in range(20):
        gradient = gradients(both, step)
        both.advance(gradient, settings(2, sphere=[1.0, 0.0], rate=[0.1, 5e-3], number=step + 1))
        alone[0].advance(gradient[:1], settings(1, sphere=1, rate=0.1, number=step + 1))
        alone[1].advance(gradient[1:], settings(1, sphere=0, rate=5e-3, number=step + 1))
    for slot in range(2):
        assert torch.equal(both.rows_SVD[slot], alone[slot].rows_SVD[0])


def test_a_slot_that_is_not_live_stays_where_it_is_even_when_its_neighbour_is_not_a_number() -> None:
    state = fresh(3)
    before = state.rows_SVD.clone()
    gradient = gradients(state, 0)
    gradient[1] = math.nan
    state.advance(gradient, settings(3, live=[1.0, 1.0, 0.0]))
    assert torch.equal(state.rows_SVD[2], before[2])
    assert state.rows_SVD[1].isnan().all()
    assert state.rows_SVD[0].isfinite().all()


def part_of(state: RowState, slot: int) -> RowState:
    """One slot's state as a pack of its own."""
    rows, anchor, first, second = (
        tensor[slot : slot + 1].clone()
        for tensor in (state.rows_SVD, state.anchor_SVD, state.first_SVD, state.second_SVD)
    )
    return RowState(rows, anchor, first, second, NORM)
