"""The way of a concept through a pack: taken from the source, put into a slot, told about, delivered.

Owns what happens between steps, and that one concept's misfortune stays its own: whatever goes wrong with one ends that
one with a typed error. A pack of another latent shape begins when the last one is empty, with as many slots as fit that
shape; until then a few concepts may overtake those that wait for it. Out of memory halves the slots; the displaced
concepts wait with a checkpoint. Does not know how a step is taken.
"""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import torch

from textinv.errors import CancelledError, OutOfMemoryError, TextinvError, TrainingError
from textinv.models.base import BaseModel
from textinv.training.capacity import Capacity
from textinv.training.memory import is_out_of_memory
from textinv.training.pack import ConceptPack, Ended
from textinv.training.record import record_of_failure
from textinv.training.slot import Slot
from textinv.training.stopping import StopReason
from textinv.training.work import IN_TRAINING, Scorer, TrainedConcept, TrainingSink, Work, WorkSource


class Traffic:
    """Carries work from a source into a pack, and outcomes to a sink."""

    def __init__(
        self,
        model: BaseModel,
        source: WorkSource,
        sink: TrainingSink,
        capacity_at: Callable[[int], Capacity],
        scorer: Scorer | None,
    ) -> None:
        """`capacity_at` says how many slots a pack has whose pictures are so many pixels wide."""
        self._capacity = Capacity(1)
        self.pack = ConceptPack(model, self._capacity.num_slots)
        """Takes its size from the first work."""
        self._model = model
        self._capacity_at = capacity_at
        self._resolution_px: int | None = None
        self._lowered: dict[int, int] = {}
        """Slots per resolution, where memory allowed fewer than `capacity_at` said."""
        self._scorer = scorer
        self._source = source
        self._sink = sink
        self._waiting: deque[Work] = deque()
        """Displaced concepts, and those of another size than the pack's."""
        self._num_overtakers = 0
        """Concepts that came into the pack while others waited for one of their own size."""
        self._saved = time.monotonic()

    @property
    def is_over(self) -> bool:
        """Whether nothing is in training and nothing will come."""
        return not self.pack.slots and not self._waiting and self._source.finished

    def fill(self) -> None:
        """Put work into free slots, as long as there is any that fits."""
        while self.pack.has_room and (work := self._next()) is not None:
            if not self.pack.fits(work):
                self._waiting.append(work)
                continue
            try:
                self._begin(work.spec.resolution_px)
                slot = self.pack.add(work)
            except TextinvError as error:
                self._sink.failed(work, error, record_of_failure(work, error))
            except RuntimeError as error:
                self._turn_away(work, error)
            except Exception as error:  # whatever is wrong with one concept must not end the others
                failure = TrainingError(f"{work.spec.name} cannot be begun: {type(error).__name__}: {error}")
                failure.__cause__ = error
                self._sink.failed(work, failure, record_of_failure(work, failure))
            else:
                self._num_overtakers += bool(self._waiting)
                self._sink.started(work, slot.index)

    def _begin(self, resolution_px: int) -> None:
        """Give an empty pack the slots of the resolution that comes; what memory allowed there before still holds."""
        if self.pack.slots or resolution_px == self._resolution_px:
            return
        capacity = self._capacity_at(resolution_px)
        self.pack = ConceptPack(self._model, self._lowered.get(resolution_px, capacity.num_slots))
        self._capacity, self._resolution_px = capacity, resolution_px

    def _lower(self, num_slots: int) -> None:
        self.pack.num_slots = num_slots
        if self._resolution_px is not None:
            self._lowered[self._resolution_px] = num_slots

    def _turn_away(self, work: Work, error: RuntimeError) -> None:
        """Without memory for another concept the pack is as large as it gets; the concept waits."""
        if not is_out_of_memory(error):
            raise error
        if self.pack.slots:
            self._lower(len(self.pack.slots))
            self._waiting.appendleft(work)
        else:
            self._fail_for_memory(work, error)

    def _next(self) -> Work | None:
        """What waits and fits, longest first; else new work, as much as the pack has slots while others wait."""
        for place, work in enumerate(self._waiting):
            if self.pack.fits(work):
                del self._waiting[place]
                return work
        if not self._waiting:
            self._num_overtakers = 0
        elif max(self._num_overtakers, len(self._waiting)) >= self.pack.num_slots:
            return None
        return self._source.take()

    def settle(self) -> bool:
        """Evaluate what is due and deliver what has ended; whether a slot became free."""
        try:
            verdicts = self.pack.evaluate()
        except RuntimeError as error:
            self._halve(error)
            return True
        return any([self._settle(slot, reason) for slot, reason in verdicts])  # noqa: C419 - every one must be told

    def _settle(self, slot: Slot, reason: StopReason | None) -> bool:
        try:
            self._sink.progress(slot.work, slot.progress(reason or IN_TRAINING))
        except CancelledError as error:
            if error.details.get("keep_rows"):  # the rows of this look, which no checkpoint has yet
                self._sink.checkpoint(slot.work, self.pack.checkpoint(slot))
            ended = self._end(slot, "cancelled")
            self._sink.failed(ended.work, error, ended.record)
            return True
        if reason is None:
            return False
        ended = self._end(slot, reason)
        if isinstance(ended.outcome, TrainedConcept):
            if self._scorer is not None and slot.spec.evaluate:
                ended.record["evaluation"] = self._scorer(
                    slot.spec, slot.work.pictures, ended.outcome.embedding, slot.started_from
                )
            self._sink.finished(ended.work, ended.outcome)
        else:
            self._sink.failed(ended.work, ended.outcome, ended.record)
        return True

    def _end(self, slot: Slot, reason: StopReason) -> Ended:
        ended = self.pack.end(slot, reason)
        ended.record["samples_per_s"] = {str(size): rate for size, rate in self._capacity.samples_per_s}
        return ended

    def step(self) -> None:
        """Take one step; when memory runs out, halve the slots instead, and nothing is lost."""
        try:
            self.pack.step()
        except RuntimeError as error:
            self._halve(error)

    def _halve(self, error: RuntimeError) -> None:
        if not is_out_of_memory(error):
            raise error
        slots = self.pack.slots
        keep = len(slots) // 2
        for slot in slots[keep:]:
            work = replace(slot.work, checkpoint=self.pack.checkpoint(slot))
            self.pack.remove(slot)
            if keep:
                self._waiting.append(work)
            else:
                self._fail_for_memory(work, error, slot)
        self._lower(max(1, keep))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _fail_for_memory(self, work: Work, error: RuntimeError, slot: Slot | None = None) -> None:
        failure = OutOfMemoryError(
            f"{work.spec.name}: a single slot does not fit into memory ({error}); use a smaller resolution or fewer "
            f"samples per step (now {work.spec.samples_per_step})"
        )
        self._sink.failed(work, failure, record_of_failure(work, failure, slot))

    def save(self, every_s: float = 0.0) -> None:
        """Hand out a checkpoint of all that was begun, unless the last ones are younger than `every_s`."""
        if time.monotonic() - self._saved < every_s:
            return
        for slot in self.pack.slots:
            self._sink.checkpoint(slot.work, self.pack.checkpoint(slot))
        for work in self._waiting:
            if work.checkpoint is not None:
                self._sink.checkpoint(work, work.checkpoint)
        self._saved = time.monotonic()
