"""The optimizer of the demo base's UNet: Muon for matrices and convolutions, AdamW for the rest.

Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". torch's own takes matrices only
and always computes in bfloat16, which some CPUs emulate (`precision`); this one sees a convolution's kernel as the
matrix `(out, in * height * width)`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from textinv.demo.making.precision import computes_in_bfloat16

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, from the source."""


class Muon(torch.optim.Optimizer):
    """Momentum whose update is made orthogonal; of the size that AdamW's has (Liu et al. 2025, arXiv 2502.16982)."""

    def __init__(self, parameters: Iterable[Tensor], weight_decay: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": 0.0, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update matrices and kernels from their gradients."""
        for group in self.param_groups:
            learning_rate, momentum = group["lr"], group["momentum"]
            alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - momentum)
                update = parameter.grad.lerp(state["momentum"], momentum).flatten(1)
                alike.setdefault(update.shape, []).append((parameter, update))
            for shape, pairs in alike.items():
                step = learning_rate * 0.2 * max(shape) ** 0.5
                matrices = orthogonal(torch.stack([update for _, update in pairs]))
                for (parameter, _), matrix in zip(pairs, matrices, strict=True):
                    parameter.mul_(1 - learning_rate * group["weight_decay"])
                    parameter.sub_(matrix.reshape(parameter.shape), alpha=step)


def orthogonal(matrices: Tensor, num_iterations: int = 5) -> Tensor:
    """Bring all singular values of matrices `(N, R, C)` close to one, between about 0.7 and 1.2; keep their vectors."""
    a, b, c = NEWTON_SCHULZ
    upright = matrices.shape[1] > matrices.shape[2]
    wide = matrices.mT if upright else matrices
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    if computes_in_bfloat16(matrices.device):
        wide = wide.bfloat16()
    for _ in range(num_iterations):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return (wide.mT if upright else wide).to(matrices.dtype)


class MuonWithAdamW:
    """One step of both optimizers over the parameters of a module, at one shared learning rate."""

    def __init__(self, module: nn.Module, weight_decay: float = 0.01) -> None:
        hidden, rest = _split(module.named_parameters())
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(hidden, weight_decay),
            torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        ]

    def step(self, learning_rate: float) -> None:
        """Update the parameters from their gradients, and clear these."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
            optimizer.zero_grad()

    def state_dict(self) -> list[dict[str, object]]:
        return [optimizer.state_dict() for optimizer in self.optimizers]

    def load_state_dict(self, state: list[dict[str, object]]) -> None:
        for optimizer, stored in zip(self.optimizers, state, strict=True):
            optimizer.load_state_dict(stored)


def _split(named: Iterable[tuple[str, nn.Parameter]]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Muon takes the hidden matrices and kernels; first and last layers, gains and biases go to AdamW."""
    hidden: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, parameter in named:
        outer = name.startswith(("conv_in", "conv_out", "time_embedding", "add_embedding"))
        (rest if outer or parameter.ndim not in (2, 4) else hidden).append(parameter)
    return hidden, rest
