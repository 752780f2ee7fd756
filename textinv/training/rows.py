"""The rows of all slots of a pack, and one optimizer step with all of them at once.

Owns where a slot's rows and their optimizer state lie (one table per text encoder), moving a slot's state in and out as
named CPU tensors (a checkpoint's contents), what a spec's optimizer asks of a step, and the arithmetic of the sphere
method and of AdamW, written row by row, so that what one slot does cannot reach another. Everything stays on the
device: no value is read back. Does not know losses or files.

Sphere: Kim et al. 2026, "Directional Textual Inversion", arXiv:2512.13672: a row is m* v with m* the mean norm of the
vocabulary and v on the unit sphere; Riemannian gradient step of a given angle; von Mises-Fisher prior kappa towards mu.
Here the angle may decay, and a step goes along the running mean of the steps' directions and some of the latest one
(quasi-hyperbolic momentum, Ma and Yarats 2018, arXiv:1810.06801): of directions that disagree little is left, so that
rows do not jump to and fro across a narrow valley, where every jump lets a difference as small as a rounding grow,
until a concept learns something else in another pack.
AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101, with a weight decay of 0, which makes it Adam.

Shapes: S slots, V vectors per slot, D width of a text encoder, N vectors of one concept; settings are one value
per slot, (S, 1, 1).
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.functional import normalize

from textinv.spec import OUTPUT, Schedule, TrainSpec

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

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
SPHERE_BETA, SPHERE_LATEST = 0.95, 0.3
"""Of the running mean of the sphere's directions, and the share of the latest one in a step. Of what was tried on up to
eight concepts of the demo base: without the latest one, styles learned more slowly (at the same stability); a shorter
mean or a larger angle learned faster and let differences grow; the latest one alone grew them ten thousandfold in 25
steps."""
FLOOR = 0.05
"""Decaying schedules end at this share of the peak, so that the last steps still move."""

_Value = TypeVar("_Value")


class StepSettings(NamedTuple, Generic[_Value]):
    """What one slot asks of this step, a number each; or all slots, (S, 1, 1) float32 each, where the rows are."""

    live: _Value
    """1 where the slot takes part in this step, 0 where its rows must not move."""
    sphere: _Value
    """1 for the sphere method, 0 for AdamW."""
    rate: _Value
    """Most radians (sphere) or learning rate (AdamW)."""
    number: _Value
    """How many steps the slot has taken, this one included."""
    kappa: _Value


_IDLE = StepSettings(live=0.0, sphere=0.0, rate=0.0, number=0.0, kappa=0.0)


def gradients_of(losses_S: Tensor, rows: Mapping[str, Tensor], scale_S: Tensor | None) -> dict[str, Tensor]:
    """Gradients (S, V, D) of the slots' losses by their rows; through a model in float16 they travel scaled."""
    scaled_S = losses_S if scale_S is None else losses_S * scale_S
    leaves = {name: rows_SVD for name, rows_SVD in rows.items() if rows_SVD.requires_grad}
    gradients = dict(zip(leaves, torch.autograd.grad(scaled_S.sum(), list(leaves.values())), strict=True))
    return gradients if scale_S is None else {name: each / scale_S[:, None, None] for name, each in gradients.items()}


def settings_of(spec: TrainSpec, step: int) -> StepSettings[float]:
    """What a spec asks of the step from `step` to `step + 1`."""
    optimizer = spec.optimizer
    return StepSettings(
        live=1.0,
        sphere=float(optimizer.kind == "sphere"),
        rate=rate_at(step, peak=optimizer.learning_rate, schedule=optimizer.schedule, max_steps=spec.max_steps),
        number=step + 1.0,
        kappa=optimizer.kappa,
    )


def stacked(settings: Mapping[int, StepSettings[float]], num_slots: int, device: torch.device) -> StepSettings[Tensor]:
    """Those of the slots in use, by their index, as one value per slot on the device; the others stand still."""
    table_FS = torch.tensor([settings.get(index, _IDLE) for index in range(num_slots)]).T.contiguous()
    if device.type == "cuda":
        table_FS = table_FS.pin_memory()
    return StepSettings(*table_FS.to(device, non_blocking=True)[:, :, None, None])


def rate_at(step: int, *, peak: float, schedule: Schedule, max_steps: int) -> float:
    """The rate of the step from `step` to `step + 1`: from the peak down to the schedule's floor."""
    return peak * _share(schedule, min(1.0, step / max_steps))


def _share(schedule: Schedule, done: float) -> float:
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return max(FLOOR, 1 - done)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass
class RowState:
    """Rows of one text encoder and their optimizer state, (S, V, D) float32 each."""

    rows_SVD: Tensor
    anchor_SVD: Tensor
    """Unit rows that the prior pulls towards."""
    first_SVD: Tensor
    """Running mean of the gradient (AdamW) or of its direction (sphere)."""
    second_SVD: Tensor
    norm: float | Tensor
    """Mean norm of the encoder's vocabulary rows (m*); of rows that are written into what it says, each slot's own mean
    norm (S, 1, 1), with which they started."""

    @classmethod
    def zeros(cls, shape_SVD: tuple[int, int, int], norm: float | Tensor, device: torch.device) -> "RowState":
        """A state of zeros, to be filled slot by slot."""
        rows, anchor, first, second = (torch.zeros(shape_SVD, device=device) for _ in range(4))
        return cls(rows, anchor, first, second, norm)

    def advance(self, grad_SVD: Tensor, settings: StepSettings[Tensor]) -> None:
        """Take one step, in place."""
        rows, on_sphere = self.rows_SVD, settings.sphere > 0
        latest_SVD = sphere_direction(rows, grad_SVD, norm=self.norm, kappa=settings.kappa, anchor_SVD=self.anchor_SVD)
        beta_S11 = torch.where(on_sphere, SPHERE_BETA, BETA1)
        first_SVD = torch.lerp(self.first_SVD, torch.where(on_sphere, latest_SVD, grad_SVD), 1 - beta_S11)
        second_SVD = torch.lerp(self.second_SVD, grad_SVD * grad_SVD, 1 - BETA2)
        mean_SVD = first_SVD / (1 - torch.pow(beta_S11, settings.number))
        way_SVD = torch.lerp(mean_SVD, latest_SVD, SPHERE_LATEST)
        sphere_SVD = sphere_step(rows, way_SVD, angle=settings.rate, norm=self.norm)
        adamw_SVD = adamw_step(rows, mean_SVD, second_SVD, settings)
        live = settings.live > 0
        new_SVD = torch.where(on_sphere, sphere_SVD, adamw_SVD)
        for target, value in ((self.first_SVD, first_SVD), (self.second_SVD, second_SVD), (rows, new_SVD)):
            target.copy_(torch.where(live, value, target))


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
        self._held: dict[int, list[str]] = {}
        """The names of each slot's rows."""
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
        rows = {name.removeprefix("rows."): rows_ND for name, rows_ND in tensors.items() if name.startswith("rows.")}
        self._held[slot] = list(rows)
        for name, rows_ND in rows.items():
            self.grow(len(rows_ND))
            if name not in self._states:
                self._add_table(name)
            if isinstance(norm_S11 := self._states[name].norm, Tensor):
                norm_S11[slot] = rows_ND.norm(dim=-1).mean()
        for name, state in self._states.items():
            for field in FIELDS:
                target_VD = getattr(state, f"{field}_SVD")[slot]
                target_VD.zero_()
                if (value_ND := tensors.get(f"{field}.{name}")) is not None:
                    target_VD[: len(value_ND)] = value_ND.to(target_VD)

    def _add_table(self, name: str) -> None:
        """A table for rows that are written into what an encoder says: few packs have any."""
        beside_SVD = self._states[name.removesuffix(OUTPUT)].rows_SVD
        norm_S11 = torch.ones(len(beside_SVD), 1, 1, device=beside_SVD.device)
        shape_SVD = (len(beside_SVD), self.num_vectors, beside_SVD.shape[-1])
        self._states[name] = RowState.zeros(shape_SVD, norm_S11, beside_SVD.device)

    def held(self, slot: int) -> Sequence[str]:
        """The names of a slot's rows."""
        return self._held[slot]

    def dump(self, slot: int, num_vectors: int, fields: Sequence[str]) -> dict[str, Tensor]:
        """Fields of a slot's state as CPU tensors (N, D), named `field.encoder`."""
        found = {} if self._scales_2S is None else {LOSS_SCALE: self._scales_2S[:, slot].cpu().clone()}
        return found | {
            f"{field}.{name}": getattr(self._states[name], f"{field}_SVD")[slot, :num_vectors].cpu().clone()
            for name in self._held[slot]
            for field in fields
        }

    def anchors(self, slot: int, num_vectors: int) -> dict[str, Tensor]:
        """The directions (N, D) in which a slot's rows started, as CPU tensors."""
        return {name: self._states[name].anchor_SVD[slot, :num_vectors].cpu() for name in self._held[slot]}

    def current(self) -> dict[str, Tensor]:
        """The rows (S, V, D) as they are; the next step changes them."""
        return {encoder: state.rows_SVD for encoder, state in self._states.items()}

    def leaves(self, learning: Collection[str]) -> dict[str, Tensor]:
        """The current rows (S, V, D) as fresh leaves, of which those that learn require gradients."""
        return {
            encoder: rows_SVD.detach().requires_grad_(encoder in learning)
            for encoder, rows_SVD in self.current().items()
        }

    def advance(
        self, gradients: Mapping[str, Tensor], settings: StepSettings[Tensor], still: Mapping[str, Sequence[int]]
    ) -> None:
        """Take one optimizer step with every slot that is live; one whose gradient overflowed float16 skips it.

        `still` are the slots whose rows do not learn, by text encoder.
        """
        if self._scales_2S is not None:
            fits_S = self._rescaled(self._scales_2S, gradients)
            settings = settings._replace(live=settings.live * fits_S[:, None, None])
        for encoder, gradient_SVD in gradients.items():
            live_S11 = settings.live
            if still.get(encoder):
                live_S11 = live_S11.clone()
                live_S11[list(still[encoder])] = 0
            self._states[encoder].advance(gradient_SVD, settings._replace(live=live_S11))

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


def sphere_direction(
    rows_SVD: Tensor, grad_SVD: Tensor, *, norm: float | Tensor, kappa: Tensor | float, anchor_SVD: Tensor
) -> Tensor:
    """The unit tangent of every row along which the loss and the prior grow most; zero where neither does.

    `grad_SVD` is the gradient of the loss by the rows; kappa competes with it before it is normalised.
    """
    return normalize(_tangent(grad_SVD * norm - kappa * anchor_SVD, normalize(rows_SVD, dim=-1)), dim=-1)


def sphere_step(rows_SVD: Tensor, way_SVD: Tensor, *, angle: Tensor | float, norm: Tensor | float) -> Tensor:
    """Move every row along the geodesic against `way_SVD`, a mean of directions; the result has exactly `norm`.

    By `angle` radians where the directions agreed (their mean has length 1), else by as much less.
    """
    unit_SVD = normalize(rows_SVD, dim=-1)
    tangent_SVD = angle * _tangent(way_SVD, unit_SVD)
    length_SV1 = tangent_SVD.norm(dim=-1, keepdim=True)
    moved_SVD = torch.cos(length_SV1) * unit_SVD - torch.sin(length_SV1) * normalize(tangent_SVD, dim=-1)
    return normalize(moved_SVD, dim=-1) * norm


def _tangent(vector_SVD: Tensor, unit_SVD: Tensor) -> Tensor:
    return vector_SVD - (vector_SVD * unit_SVD).sum(-1, keepdim=True) * unit_SVD


def adamw_step(rows_SVD: Tensor, mean_SVD: Tensor, second_SVD: Tensor, settings: StepSettings[Tensor]) -> Tensor:
    """One AdamW step from the mean gradient, corrected for its start at zero, and the second moment, which is not; both
    include this step's gradient."""
    second_SVD = second_SVD / (1 - torch.pow(BETA2, settings.number))
    step_SVD: Tensor = settings.rate * mean_SVD / (second_SVD.sqrt() + EPSILON)
    return rows_SVD - step_SVD
