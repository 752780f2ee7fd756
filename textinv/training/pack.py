"""Many concepts learning in one frozen model at once: the packed step, and the loop around it.

From top to bottom: `ConceptPack` takes the step, in forwards that fit into memory and whose gradients are added up,
and looks at fixed batches; `Training` fills slots, steps, looks, settles what has ended, and saves. Each slot's loss
reaches that slot's rows only. Whatever goes wrong with one concept ends that one with a typed error. Out of memory
makes forwards smaller, and in the end has them keep less; a concept ends by it only where even so one of its samples
alone does not fit.

Does not know where work comes from, where results go, how a slot is opened, what is drawn and how that is cut into
forwards (`batch`), nor how rows are moved.

Shapes: S slots, V vectors per slot, D width of a text encoder, N vectors of one concept.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor

from textinv.errors import CancelledError, TextinvError, TrainingError
from textinv.models.base import BaseModel, Tokens
from textinv.models.room import Room, is_of_the_device, is_out_of_memory
from textinv.training.batch import Batch, NoRoomError, Pool, each_forward, joined, slot_losses
from textinv.training.checkpoint import Checkpoint
from textinv.training.intake import Intake
from textinv.training.memory import Memory, no_memory_for, unmeasured_room
from textinv.training.opening import open_slot
from textinv.training.record import Ended, ending_of, record_of_failure
from textinv.training.rows import (
    FIELDS,
    SPHERE_FIELDS,
    TRAIN_LOSS,
    RowTables,
    gradients_of,
    settings_of,
    stacked,
)
from textinv.training.slot import Slot, StopReason
from textinv.training.work import IN_TRAINING, Scorer, TrainedConcept, TrainingSink, Work, WorkSource

Result = TypeVar("Result")
IDLE_S = 0.2
"""Wait between two looks at a source that has nothing now."""


def fixed_losses(
    model: BaseModel, slots: Sequence[Slot], rows: Mapping[str, Tensor], room: Room | None = None
) -> Tensor:
    """Loss (S,) of each slot on its fixed batch with these rows (S, V, D), apart from any pack."""
    pool = Pool.of(slots, next(iter(rows.values())).shape[1])
    samples = joined(pool, slots, fixed=True)

    def losses(batch: Batch) -> Tensor:
        return slot_losses(model, pool, batch, rows)

    return added(each_forward(pool, samples, room or unmeasured_room(model), model.device, losses))


def added(parts: Sequence[Tensor]) -> Tensor:
    """The sum over forwards."""
    return functools.reduce(torch.add, parts)


class ConceptPack:
    """Up to `num_slots` concepts over one base model, of one resolution; their pictures may have several shapes."""

    def __init__(self, model: BaseModel, num_slots: int, room: Room | None = None) -> None:
        self.model = model
        self.num_slots = num_slots
        self.room = room or unmeasured_room(model)
        """How many samples a forward may have."""
        self._norms = {name: float(model.vocabulary(name).float().norm(dim=-1).mean()) for name in model.encoder_names}
        half = model.dtype == torch.float16
        self._tables = RowTables(self._norms, model.encoder_widths, num_slots, model.device, half=half)
        self._slots: dict[int, Slot] = {}
        self._pool: Pool | None = None
        self._train_loss_S = torch.zeros(num_slots, device=model.device)

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots in use, by index."""
        return [self._slots[index] for index in sorted(self._slots)]

    @property
    def pool(self) -> Pool:
        """What all slots learn from: joined anew after one was filled or freed."""
        if self._pool is None:
            self._pool = Pool.of(self.slots, self._tables.num_vectors)
        return self._pool

    @property
    def has_room(self) -> bool:
        """Whether another concept can be added."""
        return len(self._slots) < self.num_slots

    def fits(self, work: Work) -> bool:
        """Whether a concept has the resolution of those that are in training."""
        return all(slot.spec.resolution_px == work.spec.resolution_px for slot in self.slots)

    def add(self, work: Work) -> Slot:
        """Put a concept into a free slot, at its beginning or where its checkpoint left it.

        Raises:
            InputError: its pictures or captions cannot be used.
            CorruptObjectError: its checkpoint is broken.
        """
        index = next(index for index in range(self.num_slots) if index not in self._slots)
        losses = functools.partial(fixed_losses, room=self.room)
        slot, tensors = open_slot(self.model, work, index, self._norms, losses)
        self._tables.load(index, tensors)
        self._train_loss_S[index] = tensors[TRAIN_LOSS].to(self.model.device)
        self._slots[index] = slot
        self._pool = None
        return slot

    def remove(self, slot: Slot) -> None:
        """Free a slot."""
        del self._slots[slot.index]
        self._pool = None

    def step(self, only: Sequence[Slot] | None = None) -> Sequence[Slot]:
        """Take one optimizer step with every slot, or with some only; these. Nothing is read back from the device.

        Raises:
            NoRoomError: one sample of a slot does not fit alone; no slot has moved.
        """
        slots, scale_S = only or self.slots, self._tables.loss_scale
        learning = {slot.index: slot.learns for slot in slots}
        self.model.put_aside([name for name, said in self.pool.captions.items() if isinstance(said, Tokens)])
        rows = self._tables.leaves({name for names in learning.values() for name in names})

        def learn_from(batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            losses_S = slot_losses(self.model, self.pool, batch, rows)
            return losses_S.detach(), gradients_of(losses_S, rows, scale_S)

        losses, gradients = zip(*self._each_forward(slots, learn_from), strict=True)
        settings = {slot.index: settings_of(slot.spec, slot.step) for slot in slots}
        self._tables.advance(
            {name: added([one[name] for one in gradients]) for name in gradients[0]},
            stacked(settings, self.num_slots, self.model.device),
            {name: [slot for slot, names in learning.items() if name not in names] for name in gradients[0]},
        )
        self._train_loss_S += added(losses)
        for slot in slots:
            slot.step += 1
            slot.sample_passes += slot.spec.samples_per_step
        return slots

    def _each_forward(
        self, slots: Sequence[Slot], work: Callable[[Batch], Result], *, fixed: bool = False
    ) -> list[Result]:
        samples = joined(self.pool, slots, fixed=fixed)
        return each_forward(self.pool, samples, self.room, self.model.device, work)

    @torch.no_grad()
    def look(self, only: Sequence[Slot] | None = None) -> Sequence[Slot]:
        """Look at the fixed batches of all slots that are due (or of some), and hand out those slots; each may have a
        verdict.

        Raises:
            NoRoomError: one sample of a slot does not fit alone.
        """
        due = [slot for slot in only or self.slots if slot.is_due]
        if not due:
            return []
        current = self._tables.current()
        seen = self._each_forward(due, lambda batch: slot_losses(self.model, self.pool, batch, current), fixed=True)
        losses, train_losses = torch.stack([added(seen), self._train_loss_S]).tolist()
        on_cpu = {encoder: rows_SVD.cpu() for encoder, rows_SVD in current.items()}
        for slot in due:
            at = slot.index
            rows = {name: on_cpu[name][at, : slot.spec.num_vectors].clone() for name in self._tables.held(at)}
            slot.see(losses[at], train_losses[at], rows)
            self._train_loss_S[at] = 0
        return due

    def checkpoint(self, slot: Slot) -> bytes:
        """The slot's state, from which `add` goes on."""
        fields = SPHERE_FIELDS if slot.spec.optimizer.kind == "sphere" else FIELDS
        tensors = self._tables.dump(slot.index, slot.spec.num_vectors, fields)
        tensors[TRAIN_LOSS] = self._train_loss_S[slot.index].cpu().clone()
        return Checkpoint(slot.spec.fingerprint, slot.counters(), tensors, slot.best_rows).to_bytes()

    def end(self, slot: Slot, reason: StopReason, error: TextinvError | None = None) -> Ended:
        """Free a slot and hand out what it learned, or its error."""
        began = self._tables.anchors(slot.index, slot.spec.num_vectors)
        self.remove(slot)
        return ending_of(slot, reason, error, model=self.model, num_slots=self.num_slots, began=began)


class Training:
    """The loop: carries work from a source through packs of one picture size at a time, and outcomes to a sink."""

    def __init__(
        self, model: BaseModel, source: WorkSource, sink: TrainingSink, memory: Memory, scorer: Scorer | None
    ) -> None:
        self.pack = ConceptPack(model, 1)
        """Takes its size from the first work."""
        self._model, self._sink, self._memory, self._scorer = model, sink, memory, scorer
        self._intake = Intake(source)
        self._is_crowded = False
        """Whether memory turned a concept away, until another one leaves."""
        self._saved = time.monotonic()

    def run(self, should_drain: Callable[[], bool], checkpoint_every_s: float) -> None:
        """Until the source has finished, or `should_drain` says so."""
        while not should_drain():
            self.fill()
            while self.look():
                self.fill()
            if self.pack.slots:
                self.step()
                self.save(every_s=checkpoint_every_s)
            elif self._intake.is_over:
                return
            else:
                time.sleep(IDLE_S)
        self.save()

    def fill(self) -> None:
        """Put work into free slots, as long as there is any that fits."""
        while self._has_room and (work := self._intake.next(self.pack.fits, self.pack.num_slots)) is not None:
            try:
                if not self.pack.slots and self._memory.is_other_size(work):
                    self.pack = ConceptPack(self._model, self._memory.num_slots_for(work), self._memory.room)
                slot = self.pack.add(work)
            except TextinvError as error:
                self._fail(work, error)
            except RuntimeError as error:
                self._turn_away(work, error)
            except Exception as error:  # whatever is wrong with one concept must not end the others
                failure = TrainingError(f"{work.spec.name} cannot start: {type(error).__name__}: {error}")
                failure.__cause__ = error
                self._fail(work, failure)
            else:
                self._intake.came_in()
                self._sink.started(work, slot.index)

    @property
    def _has_room(self) -> bool:
        return self.pack.has_room and not self._is_crowded

    def step(self) -> None:
        """Take one step; where memory is lacking even so, one concept leaves, and the others lose nothing."""
        try:
            self.pack.step()
        except RuntimeError as error:
            self._one_by_one(error, self.pack.step)

    def look(self) -> bool:
        """Look at the fixed batches that are due and settle their slots; whether one became free."""
        num_slots = len(self.pack.slots)
        try:
            looked = self.pack.look()
        except RuntimeError as error:
            looked = self._one_by_one(error, self.pack.look)
        ended = [self.settle(slot) for slot in looked]
        return any(ended) or len(self.pack.slots) < num_slots

    def _one_by_one(self, error: RuntimeError, do: Callable[[Sequence[Slot]], Sequence[Slot]]) -> list[Slot]:
        """Make room where memory is lacking. For any other error, do with each slot alone what failed with all of them
        together, and end those with which it fails again; what `do` gave for the others.

        Raises:
            RuntimeError: it is no concept's, but the device's, or the program's.
        """
        if is_out_of_memory(error):
            self._make_room(error)
            return []
        if is_of_the_device(error):
            raise error
        slots, done, guilty = self.pack.slots, list[Slot](), dict[int, RuntimeError]()
        for slot in slots:
            try:
                done += do([slot])
            except RuntimeError as alone:
                guilty[slot.index] = alone
        if len(guilty) == len(slots) > 1:
            raise error
        for slot in slots:
            if (own := guilty.get(slot.index)) is not None and not is_out_of_memory(own):
                self.pack.remove(slot)
                failure = TrainingError(f"{slot.spec.name} cannot continue: {type(own).__name__}: {own}")
                failure.__cause__ = own
                self._fail(slot.work, failure, slot)
                self._is_crowded = False
        return done

    def settle(self, slot: Slot) -> bool:
        """Tell how far a slot is; by its verdict, or when it is cancelled, it ends, is scored and delivered."""
        verdict = slot.verdict()
        try:
            self._sink.progress(slot.work, slot.progress(verdict or IN_TRAINING))
        except CancelledError as error:
            if error.details.get("keep_rows"):  # the rows of this look, which no checkpoint has yet
                self._sink.checkpoint(slot.work, self.pack.checkpoint(slot))
            self._deliver(self._end(slot, "cancelled", error))
            return True
        if verdict is None:
            return False
        ended = self._end(slot, verdict)
        if self._scorer is not None and slot.spec.evaluate and isinstance(ended.outcome, TrainedConcept):
            self._score(slot, ended.outcome, self._scorer)
        self._deliver(ended)
        return True

    def _end(self, slot: Slot, reason: StopReason, error: TextinvError | None = None) -> Ended:
        self._is_crowded = False
        ended = self.pack.end(slot, reason, error)
        ended.record["samples_per_s"] = self._memory.samples_per_s
        return ended

    def _score(self, slot: Slot, concept: TrainedConcept, scorer: Scorer) -> None:
        concept.record["evaluation"] = scorer(slot.spec, slot.work.pictures, concept.embedding, slot.started_from)

    def _deliver(self, ended: Ended) -> None:
        if isinstance(ended.outcome, TrainedConcept):
            self._sink.finished(ended.work, ended.outcome)
        else:
            self._sink.failed(ended.work, ended.outcome, ended.record)

    def save(self, every_s: float = 0.0) -> None:
        """Hand out a checkpoint of all that was begun, unless the last ones are younger than `every_s`."""
        if time.monotonic() - self._saved < every_s:
            return
        for slot in self.pack.slots:
            self._sink.checkpoint(slot.work, self.pack.checkpoint(slot))
        for work in self._intake.waiting:
            if work.checkpoint is not None:
                self._sink.checkpoint(work, work.checkpoint)
        self._saved = time.monotonic()

    def _turn_away(self, work: Work, error: RuntimeError) -> None:
        """Without memory for another concept it waits until one leaves; alone it ends."""
        if not is_out_of_memory(error):
            raise error
        if self.pack.slots:
            self._is_crowded = True
            self._intake.wait(work, first=True)
        else:
            self._fail(work, no_memory_for(work, error))

    def _make_room(self, error: RuntimeError) -> None:
        """End the concept of which not one sample fits; where it is what all have together, the last one waits."""
        slots = self.pack.slots
        by_index = {slot.index: slot for slot in slots}
        slot = by_index[error.slot] if isinstance(error, NoRoomError) else slots[-1]
        work = replace(slot.work, checkpoint=self.pack.checkpoint(slot))
        self.pack.remove(slot)
        if isinstance(error, NoRoomError) or len(slots) == 1:
            self._fail(work, no_memory_for(work, error), slot)
        else:
            self._is_crowded = True
            self._intake.wait(work)
        torch.cuda.empty_cache()  # nothing without a GPU

    def _fail(self, work: Work, error: TextinvError, slot: Slot | None = None) -> None:
        self._sink.failed(work, error, record_of_failure(work, error, slot))
