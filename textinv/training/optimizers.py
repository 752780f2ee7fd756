"""One optimizer step for the rows of every slot of a pack at once.

Owns the arithmetic of the sphere method and of AdamW, written row by row, so that what one slot does cannot reach
another. Everything stays on the device: no value is read back.

Sphere: Kim et al. 2026, "Directional Textual Inversion", arXiv:2512.13672: a row is m* v with m* the mean norm of the
vocabulary and v on the unit sphere; Riemannian gradient step of a given angle; von Mises-Fisher prior kappa towards mu.
Here the angle may decay and the step follows the geodesic, so that its length is exactly the angle.
AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101.

Shapes: S slots, V vectors per slot, D width of the text encoder; settings are one value per slot, (S, 1, 1).
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


class StepSettings(NamedTuple):
    """What each slot asks of this step, (S, 1, 1) float32 each, on the device of the rows."""

    live: Tensor
    """1 where the slot takes part in this step, 0 where its rows must not move."""
    sphere: Tensor
    """1 for the sphere method, 0 for AdamW."""
    rate: Tensor
    """Radians (sphere) or learning rate (AdamW)."""
    number: Tensor
    """How many steps the slot has taken, this one included."""
    kappa: Tensor
    weight_decay: Tensor


@dataclass
class RowState:
    """Rows of one text encoder and their optimizer state, (S, V, D) float32 each."""

    rows_SVD: Tensor
    anchor_SVD: Tensor
    """Unit rows that the prior pulls towards."""
    first_SVD: Tensor
    second_SVD: Tensor
    norm: float
    """Mean norm of the encoder's vocabulary rows (m*)."""

    @classmethod
    def zeros(cls, shape_SVD: tuple[int, int, int], norm: float, device: torch.device) -> "RowState":
        """A state of zeros, to be filled slot by slot."""
        rows, anchor, first, second = (torch.zeros(shape_SVD, device=device) for _ in range(4))
        return cls(rows, anchor, first, second, norm)

    def advance(self, grad_SVD: Tensor, settings: StepSettings) -> None:
        """Take one step, in place."""
        rows = self.rows_SVD
        sphere_SVD = sphere_step(
            rows, grad_SVD, angle=settings.rate, norm=self.norm, kappa=settings.kappa, anchor_SVD=self.anchor_SVD
        )
        first_SVD = torch.lerp(self.first_SVD, grad_SVD, 1 - BETA1)
        second_SVD = torch.lerp(self.second_SVD, grad_SVD * grad_SVD, 1 - BETA2)
        adamw_SVD = adamw_step(rows, first_SVD, second_SVD, settings)
        live = settings.live > 0
        new_SVD = torch.where(settings.sphere > 0, sphere_SVD, adamw_SVD)
        for target, value in ((self.first_SVD, first_SVD), (self.second_SVD, second_SVD), (rows, new_SVD)):
            target.copy_(torch.where(live, value, target))


def sphere_step(
    rows_SVD: Tensor, grad_SVD: Tensor, *, angle: Tensor | float, norm: float, kappa: Tensor | float, anchor_SVD: Tensor
) -> Tensor:
    """Move every row by `angle` radians along the geodesic against its gradient; the result has exactly `norm`.

    `grad_SVD` is the gradient of the loss by the rows; kappa competes with it before it is normalised.
    """
    unit_SVD = torch.nn.functional.normalize(rows_SVD, dim=-1)
    grad_SVD = grad_SVD * norm - kappa * anchor_SVD
    tangent_SVD = grad_SVD - (grad_SVD * unit_SVD).sum(-1, keepdim=True) * unit_SVD
    direction_SVD = torch.nn.functional.normalize(tangent_SVD, dim=-1)
    angle = torch.as_tensor(angle, dtype=rows_SVD.dtype, device=rows_SVD.device)
    moved_SVD = torch.cos(angle) * unit_SVD - torch.sin(angle) * direction_SVD
    return torch.nn.functional.normalize(moved_SVD, dim=-1) * norm


def adamw_step(rows_SVD: Tensor, first_SVD: Tensor, second_SVD: Tensor, settings: StepSettings) -> Tensor:
    """One AdamW step from moments that already include this step's gradient."""
    first_SVD = first_SVD / (1 - torch.pow(BETA1, settings.number))
    second_SVD = second_SVD / (1 - torch.pow(BETA2, settings.number))
    kept_SVD = rows_SVD * (1 - settings.rate * settings.weight_decay)
    step_SVD: Tensor = settings.rate * first_SVD / (second_SVD.sqrt() + EPSILON)
    return kept_SVD - step_SVD
