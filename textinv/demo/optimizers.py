"""The optimizer of the demo base's UNet: Muon for matrices and convolutions, AdamW for the rest.

Muon: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; torch's implementation takes
matrices only, so a convolution's kernel is shown to it as the matrix `(out, in * height * width)`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MuonWithAdamW:
    """One step of both optimizers over the parameters of a module, at one shared learning rate."""

    def __init__(self, module: nn.Module, weight_decay: float = 0.01) -> None:
        hidden, rest = _split(module.named_parameters())
        kernels = [parameter for parameter in hidden if parameter.ndim == 4]
        self._kernels = [(kernel, nn.Parameter(_as_matrix(kernel))) for kernel in kernels]
        matrices = [parameter for parameter in hidden if parameter.ndim == 2]
        matrices += [view for _, view in self._kernels]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(matrices, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=0.0, betas=(0.9, 0.99), weight_decay=0.0, fused=True),
        ]

    def step(self, learning_rate: float) -> None:
        """Update the parameters from their gradients, and clear these."""
        for kernel, view in self._kernels:
            assert kernel.grad is not None
            view.grad = kernel.grad.permute(0, 2, 3, 1).reshape(len(kernel), -1)
            kernel.grad = None
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


def _as_matrix(kernel: Tensor) -> Tensor:
    """The channels-last kernel as a matrix that shares its memory."""
    matrix = kernel.detach().permute(0, 2, 3, 1).flatten(1)
    assert matrix.data_ptr() == kernel.data_ptr(), "the module must be in channels_last memory format"
    return matrix
