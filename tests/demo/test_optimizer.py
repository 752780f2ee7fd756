"""The optimizer of the demo base's UNet."""

import copy

import torch
from torch import nn

from textinv.demo.making.optimizers import MuonWithAdamW, orthogonal


def test_an_update_has_the_gradients_directions_and_singular_values_near_one() -> None:
    for shape in ((24, 96), (96, 24)):
        matrix = torch.randn(shape, generator=torch.Generator().manual_seed(3))
        made = orthogonal(matrix[None])[0]
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        values = torch.diagonal(left.T @ made @ right.T)
        assert values.min() > 0.6
        assert values.max() < 1.3
        assert torch.dist(made, left @ torch.diag(values) @ right) < 0.05 * made.norm()


def test_kernels_learn_as_torchs_muon_teaches_the_same_matrices() -> None:
    torch.manual_seed(4)
    layer = nn.Conv2d(3, 8, 3)
    ours = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    theirs = nn.Parameter(layer.weight.detach().flatten(1).clone())
    optimizer = MuonWithAdamW(ours)
    reference = torch.optim.Muon([theirs], lr=0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for _ in range(4):
        gradient = torch.randn(layer.weight.shape)
        ours.bias.grad = torch.zeros(8)
        ours.weight.grad, theirs.grad = gradient.clone(), gradient.flatten(1).clone()
        optimizer.step(0.01)
        reference.step()
    moved = torch.dist(theirs, layer.weight.flatten(1))
    assert torch.dist(ours.weight.flatten(1), theirs) < 0.02 * moved


def test_a_run_that_is_resumed_goes_on_as_it_would_have() -> None:
    torch.manual_seed(5)
    one = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
    inputs = torch.randn(3, 4, 6)

    def step(module: nn.Module, optimizer: MuonWithAdamW, number: int) -> None:
        module(inputs[number]).square().sum().backward()
        optimizer.step(0.05)

    optimizer = MuonWithAdamW(one)
    step(one, optimizer, 0)
    other = copy.deepcopy(one)
    resumed = MuonWithAdamW(other)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for number in (1, 2):
        step(one, optimizer, number)
        step(other, resumed, number)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
