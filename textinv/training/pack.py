"""ConceptPack: many concepts learning in one frozen model at once.

Owns the slots, their row tables and the packed step. Samples of different concepts share one batch; every slot's loss
reaches that slot's rows only. Does not know where work comes from or where results go: `loop.py` carries them.

Shapes: S slots, V vectors per slot, D width of a text encoder, N vectors of one concept.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from textinv.embedding import Embedding
from textinv.errors import CancelledError, DivergedError, TextinvError
from textinv.models.base import BaseModel
from textinv.training.admission import open_slot
from textinv.training.batches import assemble
from textinv.training.checkpoint import Checkpoint
from textinv.training.optimizers import StepSettings
from textinv.training.pool import Pool, slot_losses
from textinv.training.record import cosine_to, record_of
from textinv.training.rows import FIELDS, SPHERE_FIELDS, TRAIN_LOSS, RowTables
from textinv.training.schedules import rate_at
from textinv.training.slot import Evaluation, Slot
from textinv.training.stopping import StopReason
from textinv.training.work import TrainedConcept, Work

HALF_LOSS_SCALE = 2.0**10
"""Of the loss in float16, whose smallest normal number is 6e-5: at 512 px the gradient of a prediction is about 3e-5
(Micikevicius et al. 2018, arXiv:1710.03740)."""


@dataclass(frozen=True)
class Ended:
    """A concept left its slot: with an embedding, or with an error and the record of what was seen until then."""

    work: Work
    outcome: TrainedConcept | TextinvError
    record: dict[str, Any]


class ConceptPack:
    """Up to `num_slots` concepts over one base model. One latent shape at a time."""

    def __init__(self, model: BaseModel, num_slots: int) -> None:
        self.model = model
        self.num_slots = num_slots
        """May be lowered later; the tables stay as they are."""
        self._size = num_slots
        self._norms = {name: float(model.vocabulary(name).float().norm(dim=-1).mean()) for name in model.encoder_names}
        self._tables = RowTables(self._norms, model.encoder_widths, num_slots, model.device)
        self._slots: dict[int, Slot] = {}
        self._pool: Pool | None = None
        self._train_loss_S = torch.zeros(num_slots, device=model.device)

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots in use, by index."""
        return [self._slots[index] for index in sorted(self._slots)]

    @property
    def has_room(self) -> bool:
        """Whether another concept can be added."""
        return len(self._slots) < self.num_slots

    def fits(self, work: Work) -> bool:
        """Whether a concept has the latent size of those that are in training."""
        return all(slot.spec.resolution_px == work.spec.resolution_px for slot in self.slots)

    def add(self, work: Work) -> Slot:
        """Put a concept into a free slot, at its beginning or where its checkpoint left it.

        Raises:
            InputError: its pictures or captions cannot be used.
            CorruptObjectError: its checkpoint is broken.
        """
        index = next(index for index in range(self._size) if index not in self._slots)
        slot, tensors = open_slot(self.model, work, index, self._norms)
        self._tables.load(index, tensors)
        self._train_loss_S[index] = tensors[TRAIN_LOSS].to(self.model.device)
        self._slots[index] = slot
        self._pool = None
        return slot

    def remove(self, slot: Slot) -> None:
        """Free a slot."""
        del self._slots[slot.index]
        self._pool = None

    def checkpoint(self, slot: Slot) -> bytes:
        """The slot's state, from which `add` goes on."""
        fields = SPHERE_FIELDS if slot.spec.optimizer.kind == "sphere" else FIELDS
        tensors = self._tables.dump(slot.index, slot.spec.num_vectors, fields)
        tensors[TRAIN_LOSS] = self._train_loss_S[slot.index].cpu().clone()
        tensors |= {f"best.{encoder}": rows_ND for encoder, rows_ND in slot.best_rows.items()}
        return Checkpoint(slot.spec.fingerprint, slot.counters(), tensors).to_bytes()

    def step(self) -> None:
        """Take one optimizer step with every slot. Nothing is read back from the device."""
        pool = self._current_pool()
        members = [pool.training_member(slot) for slot in self.slots]
        batch = assemble(members, self.model.device)
        rows = self._tables.leaves()
        losses_S = slot_losses(self.model, pool, batch, rows)
        gradients = gradients_of(losses_S.sum(), rows, half=self.model.dtype == torch.float16)
        self._tables.advance(gradients, self._settings())
        self._train_loss_S += losses_S.detach()
        for slot in self.slots:
            slot.step += 1
            slot.sample_passes += slot.spec.samples_per_step

    @torch.no_grad()
    def evaluate(self) -> list[tuple[Slot, StopReason | None]]:
        """Look at the fixed batches of all slots that are due, in one forward; say which of them stop, and why."""
        due = [slot for slot in self.slots if slot.is_due]
        if not due:
            return []
        pool = self._current_pool()
        current = self._tables.current()
        losses_S = torch.zeros_like(self._train_loss_S)
        for part in evaluation_parts(self.slots, due):
            batch = assemble([pool.evaluation_member(slot) for slot in part], self.model.device)
            losses_S += slot_losses(self.model, pool, batch, current)
        looks = torch.stack([losses_S, self._train_loss_S]).tolist()
        on_cpu = {encoder: rows_SVD.cpu() for encoder, rows_SVD in current.items()}
        return [(slot, self._judge(slot, looks[0][slot.index], looks[1][slot.index], on_cpu)) for slot in due]

    def _judge(self, slot: Slot, loss: float, train_loss: float, current: dict[str, Tensor]) -> StopReason | None:
        steps = slot.step - (slot.history[-1].step if slot.history else 0)
        rows = {name: rows_SVD[slot.index, : slot.spec.num_vectors].clone() for name, rows_SVD in current.items()}
        self._train_loss_S[slot.index] = 0
        return slot.judge(Evaluation(slot.step, loss, train_loss / steps if steps else None), rows)

    def end(self, slot: Slot, reason: StopReason) -> Ended:
        """Free a slot and hand out what it learned, or its error."""
        directions = self._tables.anchors(slot.index, slot.spec.num_vectors)
        self.remove(slot)
        record = record_of(slot, reason, self.model, self.num_slots)
        if reason == "diverged":
            error = DivergedError(
                f"{slot.spec.name}: the loss or the rows became non-finite by step {slot.step}; lower the learning "
                f"rate (now {slot.spec.optimizer.learning_rate:g})",
                step=slot.step,
            )
            return Ended(slot.work, error, record)
        if reason == "cancelled":
            return Ended(slot.work, CancelledError(f"{slot.spec.name} was cancelled at step {slot.step}"), record)
        record["cosine_to_initializer"] = {
            encoder: cosine_to(rows_ND, directions[encoder]) for encoder, rows_ND in slot.best_rows.items()
        }
        return Ended(slot.work, TrainedConcept(slot.spec, Embedding(slot.best_rows), record), record)

    def _current_pool(self) -> Pool:
        if self._pool is None:
            self._pool = Pool.of(self.slots, self._tables.num_vectors)
        return self._pool

    def _settings(self) -> StepSettings:
        columns = [(0.0,) * len(StepSettings._fields)] * self._size
        for slot in self.slots:
            columns[slot.index] = settings_of(slot)
        table_FS = torch.tensor(columns).T.contiguous()
        if self.model.device.type == "cuda":
            table_FS = table_FS.pin_memory()
        return StepSettings(*table_FS.to(self.model.device, non_blocking=True)[:, :, None, None])


def gradients_of(loss: Tensor, rows: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Gradients of a loss by the rows; through a model in float16 they travel scaled."""
    scaled = loss * HALF_LOSS_SCALE if half else loss
    gradients = dict(zip(rows, torch.autograd.grad(scaled, list(rows.values())), strict=True))
    return {name: gradient / HALF_LOSS_SCALE for name, gradient in gradients.items()} if half else gradients


def evaluation_parts(slots: Sequence[Slot], due: Sequence[Slot]) -> list[list[Slot]]:
    """Split the slots that are due into forwards of at most twice a training step's samples, which fit if it does."""
    room = 2 * sum(slot.spec.samples_per_step for slot in slots)
    parts: list[list[Slot]] = [[]]
    taken = 0
    for slot in due:
        taken += slot.spec.stop.num_samples
        if taken > room and parts[-1]:
            parts.append([])
            taken = slot.spec.stop.num_samples
        parts[-1].append(slot)
    return parts


def settings_of(slot: Slot) -> tuple[float, ...]:
    """What a slot asks of its next step, in the order of `StepSettings`."""
    spec, optimizer = slot.spec, slot.spec.optimizer
    peak, schedule = optimizer.learning_rate, optimizer.schedule
    rate = rate_at(slot.step, peak=peak, schedule=schedule, max_steps=spec.max_steps)
    return (
        1.0,
        float(optimizer.kind == "sphere"),
        rate,
        slot.step + 1.0,
        optimizer.kappa,
    )
