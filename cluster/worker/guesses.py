"""Guesses that a worker trains: leased, left off and taken up again as concepts are, but alone on the worker.

Owns the way of such a lease: the order and what it learns from in, checkpoints and the published guess out, and what
ends it: a cancellation, shares that were taken back, being no better than words. A worker begins when its pack is
empty, and after a while lets other work go first that nobody has. Does not know how a guess is trained or measured.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from cluster.queue.messages import Lease, StepReport
from cluster.queue.on_ray import QueueForWorkers
from cluster.worker.config import PackSettings
from cluster.worker.leases import Leases
from cluster.worker.outbox import Outbox
from cluster.worker.place import Place, Result
from textinv.errors import (
    CancelledError,
    CorruptObjectError,
    InputError,
    OutOfMemoryError,
    StoreError,
    TextinvError,
    TrainingError,
)
from textinv.guess.concepts import Concepts
from textinv.guess.running import begun, encoder_for, finished
from textinv.guess.shared import SharedConcepts, check_ordered, ordered_shares, source_of
from textinv.guess.training import GuessTraining, Settings
from textinv.jobs import Failure, JobStore
from textinv.jobs.guess_order import GuessOrder, read_order
from textinv.models.base import BaseModel
from textinv.models.picture_encoder import PictureEncoder
from textinv.models.room import is_of_the_device, is_out_of_memory
from textinv.registry.guesses import NOT_PUBLISHED, GuessFile, publish_guess, worth_text
from textinv.registry.shares import Share
from textinv.store.protocol import ObjectStore
from textinv.training import IN_TRAINING

CHECKPOINTS_OF_CONCEPTS = 3
"""A checkpoint is written as seldom as so many of a concept, which is a thousandth of its size."""
REPORT_EVERY_S = 1.0


class Guesses:
    """Trains what a worker leases of guesses, one at a time, while nothing else is held."""

    def __init__(
        self,
        model: BaseModel,
        queue: QueueForWorkers,
        store: ObjectStore,
        leases: Leases,
        outbox: Outbox,
        worker: str,
        place: Place,
        pack: PackSettings,
        encoders: Sequence[Path],
        is_over: Callable[[], bool],
    ) -> None:
        """`is_over`: the worker shall go, so what is not finished is saved and left to others."""
        self._model, self._queue, self._store, self._leases, self._outbox = model, queue, store, leases, outbox
        self._job_store, self._worker, self._place, self._pack = JobStore(store), worker, place, pack
        self._encoders, self._is_over = encoders, is_over
        self._opened: tuple[str, Concepts] | None = None
        """The concepts that were learned from last, some of them encoded, by the work's fingerprint."""

    def train(self, lease: Lease) -> None:
        """Train a guess until it is published or given up, or its turn is over; then it is handed back."""
        try:
            self._train(lease)
        except TextinvError as error:
            self._end(lease, error)
        except Exception as error:  # whatever is wrong with it must not end the worker, if that can go on
            if is_of_the_device(error):
                raise
            said = f"the guess cannot be trained here: {type(error).__name__}: {error}"
            failure = OutOfMemoryError(said) if is_out_of_memory(error) else TrainingError(said)
            failure.__cause__ = error
            self._end(lease, failure)

    def _train(self, lease: Lease) -> None:
        self._heed(lease)  # it may have been cancelled while it waited for the pack
        order, found, checkpoint = self._patiently(lambda: self._fetched(lease))
        encoder = encoder_for(self._model, self._encoders)
        concepts = self._concepts(lease, found, encoder)
        training = begun(self._model, encoder, concepts.draw, Settings(num_steps=order.steps, seed=order.seed))
        if checkpoint is not None:
            training.resume(checkpoint)
        if self._train_on(lease, order, training):
            guess = finished(
                self._model,
                encoder,
                training,
                concepts.unseen(),
                base_model=order.base_model,
                concepts=len(concepts.trained),
                source=source_of(found),
                shares=concepts.learned_from,
                between=lambda: self._heed(lease),
            )
            self._deliver(lease, guess)

    def _fetched(self, lease: Lease) -> tuple[GuessOrder, Sequence[Share], bytes | None]:
        """What is asked for, what it learns from, and where it was left off."""
        order = read_order(self._store, lease.job_id)
        found = ordered_shares(self._store, order.base_model, order.base_revision, order.shares)
        return order, found, self._job_store.checkpoint(lease.fingerprint)

    def _concepts(self, lease: Lease, found: Sequence[Share], encoder: PictureEncoder) -> Concepts:
        if self._opened is None or self._opened[0] != lease.fingerprint:
            self._opened = lease.fingerprint, SharedConcepts(found, self._store, self._model, encoder)
        return self._opened[1]

    def _train_on(self, lease: Lease, order: GuessOrder, training: GuessTraining) -> bool:
        """Take steps, saving now and then; whether these were all, and not the end of the worker or of a turn."""
        began = saved = time.monotonic()
        pace = _Pace(training)
        self._report(lease, pace.report("started"))
        while not training.is_over:
            pace.took(self._step(training))
            if pace.is_due or training.is_over:
                self._report(lease, pace.report("cap" if training.is_over else IN_TRAINING))
            self._leases.check(lease.fingerprint)
            now = time.monotonic()
            if self._is_over():
                break
            if now - began >= self._pack.guess_turn_s and self._leases.others_wait:
                self._stand_back(lease, training)
                return False
            if now - saved >= CHECKPOINTS_OF_CONCEPTS * self._pack.checkpoint_every_s:
                with suppress(StoreError):  # it is asked again before anything is published
                    check_ordered(self._store, order.base_model, order.base_revision, order.shares)
                self._save(lease, training)
                saved = now
        self._save(lease, training)
        return training.is_over and not self._is_over()

    def _step(self, training: GuessTraining) -> float:
        try:
            return training.advance()
        except TextinvError:  # pictures are read when they are drawn: nothing has moved, so it can be tried again
            return self._patiently(training.advance)

    def _heed(self, lease: Lease) -> None:
        """See whether the guess is still to be measured here.

        Raises:
            CancelledError: it is not.
        """
        self._leases.check(lease.fingerprint)
        if self._is_over():
            raise CancelledError("it is left to another worker", lost=True)

    def _save(self, lease: Lease, training: GuessTraining) -> None:
        data = training.to_bytes()
        self._outbox.post(
            lambda: self._job_store.write_checkpoint(lease.fingerprint, data), _nothing, subject=_state_of(lease)
        )

    def _stand_back(self, lease: Lease, training: GuessTraining) -> None:
        """Let others go first: whoever takes it up next finds where it is now."""
        data = training.to_bytes()

        def save_and_hand_back() -> None:
            self._job_store.write_checkpoint(lease.fingerprint, data)
            self._leases.hand_back(lease.fingerprint)

        self._outbox.post(
            save_and_hand_back, lambda error: self._leases.hand_back(lease.fingerprint), subject=_state_of(lease)
        )

    def _deliver(self, lease: Lease, guess: GuessFile) -> None:
        """Publish it, if it is better than words.

        Raises:
            InputError: it is not.
        """
        if not guess.record.held_out["is_better"]:
            raise InputError(f"{worth_text(guess.digest, guess.record)}: {NOT_PUBLISHED}")

        def publish() -> None:
            publish_guess(self._store, guess, lease.fingerprint)
            self._queue.finish(self._worker, lease.fingerprint, None)
            self._leases.release(lease.fingerprint)
            self._job_store.drop_checkpoint(lease.fingerprint)

        # No checkpoint is needed any more; and what was trained waits for a place that is out of order.
        self._outbox.post(publish, lambda error: self._end(lease, error), subject=_state_of(lease), waits=True)

    def _end(self, lease: Lease, error: TextinvError) -> None:
        """Say why it ended here, and let the queue decide whether it is tried again."""
        if error.details.get("lost"):
            self._leases.hand_back(lease.fingerprint)
            return
        if isinstance(error, InputError | CorruptObjectError):  # what it has learned may not be used, or cannot be read
            self._outbox.post(
                lambda: self._job_store.drop_checkpoint(lease.fingerprint), _nothing, subject=_state_of(lease)
            )
        is_final = self._leases.give_up(lease.fingerprint, error)
        if is_final and not isinstance(error, CancelledError):
            failure = Failure(fingerprint=lease.fingerprint, name=lease.name, code=error.code, message=error.message)
            self._outbox.post(lambda: self._job_store.write_failure(lease.job_id, failure), _nothing)

    def _patiently(self, call: Callable[[], Result]) -> Result:
        return self._place.patiently(call, self._leases.rest, self._is_over)

    def _report(self, lease: Lease, report: StepReport) -> None:
        self._queue.report(self._worker, lease.fingerprint, report)


class _Pace:
    """How fast a training is, and its losses since it was last asked."""

    def __init__(self, training: GuessTraining) -> None:
        self._training, self._first, self._began = training, training.step, time.monotonic()
        self._asked, self._losses = self._began, list[float]()

    def took(self, loss: float) -> None:
        """Hear of a step."""
        self._losses.append(loss)

    @property
    def is_due(self) -> bool:
        """Whether it was last asked a while ago."""
        return time.monotonic() - self._asked >= REPORT_EVERY_S

    def report(self, state: str) -> StepReport:
        """How far it is; the time is that of all steps at the pace of those here."""
        self._asked, training = time.monotonic(), self._training
        taken = training.step - self._first
        loss = sum(self._losses) / len(self._losses) if self._losses else None
        self._losses.clear()
        return StepReport(
            training.step,
            training.settings.num_steps,
            loss,
            training.step * training.settings.concepts_per_step,
            (self._asked - self._began) / taken * training.step if taken else 0.0,
            state,
        )


def _state_of(lease: Lease) -> str:
    """What letters about its state have for their subject: the last one says all."""
    return f"state of {lease.fingerprint}"


def _nothing(error: TextinvError) -> None:
    """Losing a letter only costs time."""
