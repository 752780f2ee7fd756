"""The rows of all slots of a pack: one table per text encoder.

Owns where a slot's rows and their optimizer state lie, growing the tables for concepts with more vectors, and moving a
slot's state in and out as named CPU tensors (a checkpoint's contents). Does not know steps, losses or files.

Shapes: S slots, V vectors per slot, D width of a text encoder, N vectors of one concept.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from textinv.training.optimizers import RowState, StepSettings

SPHERE_FIELDS = ("rows", "anchor", "first")
"""What the sphere method needs of a slot's state."""
FIELDS = (*SPHERE_FIELDS, "second")
LOSS_SCALE = "loss_scale"
"""Name of a slot's loss scale in float16 and of the steps since it changed, two numbers."""
FIRST_LOSS_SCALE, MOST_LOSS_SCALE = 2.0**10, 2.0**16
"""Of float16, whose smallest normal number is 6e-5: at 512 px the gradient of a prediction is about 3e-5 (Micikevicius
et al. 2018, arXiv:1710.03740)."""
STEPS_TO_GROW = 100
"""Steps without an overflow after which a loss scale doubles; torch's 2000 are more than a concept has."""
TRAIN_LOSS = "train_loss"
"""Name of the sum of a slot's training losses since its last evaluation, a scalar."""


class RowTables:
    """Rows and optimizer state of every slot, on the device, float32."""

    def __init__(
        self,
        norms: Mapping[str, float],
        widths: Mapping[str, int],
        num_slots: int,
        device: torch.device,
        *,
        half: bool = False,
    ) -> None:
        self.num_vectors = 1
        self._scales_2S = torch.zeros(2, num_slots, device=device) if half else None
        self._states = {
            encoder: RowState.zeros((num_slots, 1, width), norms[encoder], device) for encoder, width in widths.items()
        }

    @property
    def loss_scale(self) -> Tensor | None:
        """What each slot's loss is scaled by (S,) on its way through float16; None through anything else."""
        return None if self._scales_2S is None else self._scales_2S[0]

    def grow(self, num_vectors: int) -> None:
        """Make room for concepts of up to `num_vectors` vectors."""
        missing = num_vectors - self.num_vectors
        if missing <= 0:
            return
        for state in self._states.values():
            for field in FIELDS:
                tensor_SVD = getattr(state, f"{field}_SVD")
                setattr(state, f"{field}_SVD", torch.nn.functional.pad(tensor_SVD, (0, 0, 0, missing)))
        self.num_vectors = num_vectors

    def load(self, slot: int, tensors: Mapping[str, Tensor]) -> None:
        """Put a slot's state back as `dump` gave it; a second moment that is not there is zero."""
        if self._scales_2S is not None:
            fresh = torch.tensor([FIRST_LOSS_SCALE, 0.0])
            self._scales_2S[:, slot] = tensors.get(LOSS_SCALE, fresh).to(self._scales_2S)
        for encoder, state in self._states.items():
            num_vectors = len(tensors[f"rows.{encoder}"])
            self.grow(num_vectors)
            for field in FIELDS:
                target_VD = getattr(state, f"{field}_SVD")[slot]
                target_VD.zero_()
                if (value_ND := tensors.get(f"{field}.{encoder}")) is not None:
                    target_VD[:num_vectors] = value_ND.to(target_VD)

    def dump(self, slot: int, num_vectors: int, fields: Sequence[str]) -> dict[str, Tensor]:
        """Fields of a slot's state as CPU tensors (N, D), named `field.encoder`."""
        found = {} if self._scales_2S is None else {LOSS_SCALE: self._scales_2S[:, slot].cpu().clone()}
        return found | {
            f"{field}.{encoder}": getattr(state, f"{field}_SVD")[slot, :num_vectors].cpu().clone()
            for encoder, state in self._states.items()
            for field in fields
        }

    def anchors(self, slot: int, num_vectors: int) -> dict[str, Tensor]:
        """The directions (N, D) in which a slot's rows started, as CPU tensors."""
        return {encoder: state.anchor_SVD[slot, :num_vectors].cpu() for encoder, state in self._states.items()}

    def current(self) -> dict[str, Tensor]:
        """The rows (S, V, D) as they are; the next step changes them."""
        return {encoder: state.rows_SVD for encoder, state in self._states.items()}

    def leaves(self) -> dict[str, Tensor]:
        """The current rows (S, V, D) as fresh leaves that require gradients."""
        return {encoder: rows_SVD.detach().requires_grad_() for encoder, rows_SVD in self.current().items()}

    def advance(self, gradients: Mapping[str, Tensor], settings: StepSettings[Tensor]) -> None:
        """Take one optimizer step with every slot that is live; one whose gradient overflowed float16 skips it."""
        if self._scales_2S is not None:
            fits_S = self._rescaled(self._scales_2S, gradients)
            settings = settings._replace(live=settings.live * fits_S[:, None, None])
        for encoder, state in self._states.items():
            state.advance(gradients[encoder], settings)

    @staticmethod
    def _rescaled(scales_2S: Tensor, gradients: Mapping[str, Tensor]) -> Tensor:
        """Lower the loss scale of slots that overflowed, raise it after a while without; whose gradient (S,) fits."""
        fits_S = torch.stack([torch.isfinite(each_SVD).all(-1).all(-1) for each_SVD in gradients.values()]).all(0)
        scale_S, steps_S = scales_2S
        steps_S.copy_(torch.where(fits_S, steps_S + 1, 0))
        grows_S = steps_S >= STEPS_TO_GROW
        raised_S = torch.where(grows_S, scale_S * 2, scale_S).clamp_max(MOST_LOSS_SCALE)
        scale_S.copy_(torch.where(fits_S, raised_S, scale_S / 2))
        steps_S.masked_fill_(grows_S, 0)
        return fits_S


def fresh_state(rows: Mapping[str, Tensor], anchors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of a slot that starts from `rows` (N, D) and is pulled towards the directions of `anchors` (N, D)."""
    state: dict[str, Tensor] = {TRAIN_LOSS: torch.zeros(())}
    for encoder, rows_ND in rows.items():
        state[f"rows.{encoder}"] = rows_ND
        state[f"anchor.{encoder}"] = torch.nn.functional.normalize(anchors[encoder], dim=-1)
    return state
