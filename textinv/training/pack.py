"""Many concepts learning in one frozen model at once: the packed step, and the loop around it.

From top to bottom: a batch is assembled from what every slot draws; one forward gives every slot's loss, which reaches
that slot's rows only; `ConceptPack` takes the step and looks at fixed batches; `Training` fills slots, steps, looks,
settles what has ended, and saves. Whatever goes wrong with one concept ends that one with a typed error. Out of memory
halves the slots; the displaced concepts wait with a checkpoint.

Does not know where work comes from, where results go, how a slot is opened, what is drawn, nor how rows are moved.

Shapes: B samples, K distinct captions, X context prompts, S slots, V vectors per slot, D width of a text encoder, N
vectors of one concept, C x H x W latents.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from textinv.errors import CancelledError, TextinvError, TrainingError
from textinv.models.base import BaseModel, Tokens
from textinv.training.checkpoint import Checkpoint
from textinv.training.intake import Intake
from textinv.training.memory import Memory, is_out_of_memory, no_memory_for
from textinv.training.objective import context_losses, sample_losses
from textinv.training.opening import open_slot
from textinv.training.pool import Place, Pool
from textinv.training.record import Ended, ending_of, record_of_failure
from textinv.training.rows import FIELDS, SPHERE_FIELDS, TRAIN_LOSS, RowTables, settings_of, stacked
from textinv.training.slot import Slot, StopReason, look_parts
from textinv.training.streams import Integers, padded, padded_size
from textinv.training.work import IN_TRAINING, Scorer, TrainedConcept, TrainingSink, Work, WorkSource

HALF_LOSS_SCALE = 2.0**10
"""Of the loss in float16, whose smallest normal number is 6e-5: at 512 px the gradient of a prediction is about 3e-5
(Micikevicius et al. 2018, arXiv:1710.03740)."""
IDLE_S = 0.2
"""Wait between two looks at a source that has nothing now."""


@dataclass(frozen=True)
class ContextBatch:
    """The context prompts of a step, padded with weight zero."""

    caption_of_X: Tensor
    """Index into the batch's distinct captions."""
    reference_X: Tensor
    slot_of_X: Tensor
    weight_X: Tensor


@dataclass(frozen=True)
class Batch:
    """Everything that one forward needs, on the device."""

    latents_B: Tensor
    """Index of each sample's latent in the pool."""
    captions_K: Tensor
    """Index of each distinct caption in the pool."""
    caption_of_B: Tensor
    """Index into `captions_K`: samples with the same caption share one row of the text encoder."""
    slot_of_B: Tensor
    share_B: Tensor
    """Weight of each sample within its slot's mean; padding, which repeats the first sample, weighs 0."""
    timesteps_B: Tensor
    latent_noise_BCHW: Tensor
    noise_BCHW: Tensor
    context: ContextBatch | None


def assemble(pool: Pool, slots: Sequence[Slot], device: torch.device, *, fixed: bool = False) -> Batch:
    """Join what every slot draws for its step (or its fixed batch), padded to one of a few sizes, on the device."""
    places = [pool.places[slot.index] for slot in slots]
    draws = [slot.fixed_draw() if fixed else slot.training_draw() for slot in slots]
    prompts = [None if fixed else slot.context_prompt() for slot in slots]
    drawn = list(zip(places, draws, strict=True))
    counts = [len(draw) for draw in draws]
    num_samples = sum(counts)
    extra = padded_size(num_samples) - num_samples
    latents_B = padded([at.latents + draw.pictures_B + at.num_pictures * draw.flips_B for at, draw in drawn], extra)
    captions_B = padded([at.captions + draw.captions_B for at, draw in drawn], extra)
    slots_B = padded([np.repeat([slot.index for slot in slots], counts)], extra)
    timesteps_B = padded([draw.timesteps_B for draw in draws], extra)
    share_B = np.zeros(num_samples + extra, np.float32)
    share_B[:num_samples] = np.repeat(1 / np.array(counts), counts)
    noises_2BCHW = torch.cat([draw.noises_2BCHW for draw in draws], dim=1)
    if extra:
        padding_2BCHW = noises_2BCHW[:, :1].expand(-1, extra, -1, -1, -1)
        noises_2BCHW = torch.cat([noises_2BCHW, padding_2BCHW], dim=1)
    asking = [(slot, place, at) for slot, place, at in zip(slots, places, prompts, strict=True) if at is not None]
    captions_X = [place.context_captions + prompt for _, place, prompt in asking]
    captions_K, index = np.unique([*captions_B, *captions_X], return_inverse=True)
    caption_of_B, caption_of_X = np.split(index, [num_samples + extra])
    spare = padded_size(len(captions_K)) - len(captions_K)
    indices = _sent(torch.from_numpy(np.stack([latents_B, caption_of_B, slots_B, timesteps_B])), device).unbind()
    noises = _sent(noises_2BCHW, device).unbind()
    return Batch(
        latents_B=indices[0],
        captions_K=_sent(torch.from_numpy(padded([captions_K], spare)), device),
        caption_of_B=indices[1],
        slot_of_B=indices[2],
        share_B=_sent(torch.from_numpy(share_B), device),
        timesteps_B=indices[3],
        latent_noise_BCHW=noises[0],
        noise_BCHW=noises[1],
        context=_contexts(asking, caption_of_X, device) if asking else None,
    )


def _contexts(asking: Sequence[tuple[Slot, Place, int]], caption_of_X: Integers, device: torch.device) -> ContextBatch:
    extra = padded_size(len(asking)) - len(asking)
    references_X = np.array([place.references + prompt for _, place, prompt in asking])
    slots_X = np.array([slot.index for slot, _, _ in asking])
    indices_3X = np.stack([padded([each], extra) for each in (caption_of_X, references_X, slots_X)])
    weight_X = torch.tensor([slot.spec.context_weight for slot, _, _ in asking] + [0.0] * extra)
    caption_of, reference, slot_of = _sent(torch.from_numpy(indices_3X), device).unbind()
    return ContextBatch(caption_of, reference, slot_of, _sent(weight_X, device))


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy on the device, without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def slot_losses(model: BaseModel, pool: Pool, batch: Batch, rows: Mapping[str, Tensor]) -> Tensor:
    """Mean loss of each slot (S,) float32, 0 where a slot has no sample; differentiable in `rows` (S, V, D)."""
    latents_BCHW = pool.mean_MCHW[batch.latents_B] + pool.std_MCHW[batch.latents_B] * batch.latent_noise_BCHW
    noisy_BCHW = model.process.noised(latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
    tokens = {
        name: Tokens(captions.ids_BL[batch.captions_K], captions.row_BL[batch.captions_K])
        for name, captions in pool.captions.items()
    }
    encoded = model.encode_text(tokens, {name: rows_SVD.flatten(0, 1) for name, rows_SVD in rows.items()})
    texts, sizes_B6 = encoded.index(batch.caption_of_B), pool.sizes_M6[batch.latents_B]
    predicted_BCHW = model.predict(noisy_BCHW, batch.timesteps_B, texts, time_ids_B6=sizes_B6)
    target_BCHW = model.process.target(latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
    loss_B = sample_losses(predicted_BCHW, target_BCHW, pool.weight_MHW[batch.latents_B])
    num_slots = next(iter(rows.values())).shape[0]
    loss_S = torch.zeros(num_slots, device=loss_B.device).index_add(0, batch.slot_of_B, loss_B * batch.share_B)
    if batch.context is None or pool.references is None:
        return loss_S
    context, references = batch.context, pool.references
    hidden_XLD, at_X = encoded.hidden_BLD[context.caption_of_X], context.reference_X
    loss_X = context_losses(hidden_XLD, references.hidden_PLD[at_X], references.mask_PL[at_X])
    term_S = torch.zeros(num_slots, device=loss_X.device).index_add(0, context.slot_of_X, loss_X * context.weight_X)
    return loss_S + term_S


def fixed_losses(model: BaseModel, slots: Sequence[Slot], rows: Mapping[str, Tensor]) -> Tensor:
    """Loss (S,) of each slot on its fixed batch with these rows (S, V, D), apart from any pack."""
    pool = Pool.of(slots, next(iter(rows.values())).shape[1])
    return slot_losses(model, pool, assemble(pool, slots, model.device, fixed=True), rows)


def gradients_of(loss: Tensor, rows: Mapping[str, Tensor], *, half: bool) -> dict[str, Tensor]:
    """Gradients of a loss by the rows; through a model in float16 they travel scaled."""
    scaled = loss * HALF_LOSS_SCALE if half else loss
    gradients = dict(zip(rows, torch.autograd.grad(scaled, list(rows.values())), strict=True))
    return {name: gradient / HALF_LOSS_SCALE for name, gradient in gradients.items()} if half else gradients


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
        """Whether a concept has the latent size of those that are in training."""
        return all(slot.spec.resolution_px == work.spec.resolution_px for slot in self.slots)

    def add(self, work: Work) -> Slot:
        """Put a concept into a free slot, at its beginning or where its checkpoint left it.

        Raises:
            InputError: its pictures or captions cannot be used.
            CorruptObjectError: its checkpoint is broken.
        """
        index = next(index for index in range(self._size) if index not in self._slots)
        slot, tensors = open_slot(self.model, work, index, self._norms, fixed_losses)
        self._tables.load(index, tensors)
        self._train_loss_S[index] = tensors[TRAIN_LOSS].to(self.model.device)
        self._slots[index] = slot
        self._pool = None
        return slot

    def remove(self, slot: Slot) -> None:
        """Free a slot."""
        del self._slots[slot.index]
        self._pool = None

    def step(self) -> None:
        """Take one optimizer step with every slot. Nothing is read back from the device."""
        slots = self.slots
        batch = assemble(self.pool, slots, self.model.device)
        rows = self._tables.leaves()
        losses_S = slot_losses(self.model, self.pool, batch, rows)
        gradients = gradients_of(losses_S.sum(), rows, half=self.model.dtype == torch.float16)
        settings = {slot.index: settings_of(slot.spec, slot.step) for slot in slots}
        self._tables.advance(gradients, stacked(settings, self._size, self.model.device))
        self._train_loss_S += losses_S.detach()
        for slot in slots:
            slot.step += 1
            slot.sample_passes += slot.spec.samples_per_step

    @torch.no_grad()
    def look(self) -> list[Slot]:
        """Look at the fixed batches of all slots that are due, and hand out those slots; each may have a verdict."""
        due = [slot for slot in self.slots if slot.is_due]
        if not due:
            return []
        current = self._tables.current()
        losses_S = torch.zeros_like(self._train_loss_S)
        for part in look_parts(self.slots, due):
            batch = assemble(self.pool, part, self.model.device, fixed=True)
            losses_S += slot_losses(self.model, self.pool, batch, current)
        losses, train_losses = torch.stack([losses_S, self._train_loss_S]).tolist()
        on_cpu = {encoder: rows_SVD.cpu() for encoder, rows_SVD in current.items()}
        for slot in due:
            at = slot.index
            rows = {name: rows_SVD[at, : slot.spec.num_vectors].clone() for name, rows_SVD in on_cpu.items()}
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
        while self.pack.has_room and (work := self._intake.next(self.pack.fits, self.pack.num_slots)) is not None:
            try:
                if not self.pack.slots and self._memory.is_other_size(work):
                    self.pack = ConceptPack(self._model, self._memory.num_slots_for(work))
                slot = self.pack.add(work)
            except TextinvError as error:
                self._fail(work, error)
            except RuntimeError as error:
                self._turn_away(work, error)
            except Exception as error:  # whatever is wrong with one concept must not end the others
                failure = TrainingError(f"{work.spec.name} cannot be begun: {type(error).__name__}: {error}")
                failure.__cause__ = error
                self._fail(work, failure)
            else:
                self._intake.came_in()
                self._sink.started(work, slot.index)

    def step(self) -> None:
        """Take one step; when memory runs out, halve the slots instead, and nothing is lost."""
        try:
            self.pack.step()
        except RuntimeError as error:
            self._halve(error)

    def look(self) -> bool:
        """Look at the fixed batches that are due and settle their slots; whether one became free."""
        try:
            looked = self.pack.look()
        except RuntimeError as error:
            self._halve(error)
            return True
        return any([self.settle(slot) for slot in looked])  # noqa: C419 - every one must be told

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
        """Without memory for another concept the pack is as large as it gets; the concept waits."""
        if not is_out_of_memory(error):
            raise error
        if self.pack.slots:
            self.pack.num_slots = self._memory.lowered(len(self.pack.slots))
            self._intake.wait(work, first=True)
        else:
            self._fail(work, no_memory_for(work, error))

    def _halve(self, error: RuntimeError) -> None:
        if not is_out_of_memory(error):
            raise error
        slots = self.pack.slots
        keep = len(slots) // 2
        for slot in slots[keep:]:
            work = replace(slot.work, checkpoint=self.pack.checkpoint(slot))
            self.pack.remove(slot)
            if keep:
                self._intake.wait(work)
            else:
                self._fail(work, no_memory_for(work, error), slot)
        self.pack.num_slots = self._memory.lowered(max(1, keep))
        torch.cuda.empty_cache()  # nothing without a GPU

    def _fail(self, work: Work, error: TextinvError, slot: Slot | None = None) -> None:
        self._sink.failed(work, error, record_of_failure(work, error, slot))
