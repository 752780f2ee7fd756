"""What becomes of a concept that was trained: published, reported, kept for later, or given up.

Owns a worker's `TrainingSink`: results go to the registry, checkpoints and failures to the job store, progress to
the queue. Does not train and does not lease.
"""

import math
from collections.abc import Mapping
from typing import Any

from cluster.queue.messages import StepReport
from cluster.queue.on_ray import QueueForWorkers
from cluster.worker.kept_rows import publish_best_rows
from cluster.worker.leases import Leases
from cluster.worker.meters import NoBoard, PackMeters
from cluster.worker.outbox import Outbox
from cluster.worker.pinned import Sheets
from cluster.worker.previews import Draw, Previews
from textinv.errors import CancelledError, CorruptObjectError, TextinvError
from textinv.evaluation.gate import GateMode, gate_of
from textinv.jobs import Failure, JobStore
from textinv.jobs.previews import PREVIEW_FILE
from textinv.registry import Registry
from textinv.registry.heads import current_head
from textinv.registry.layout import PINNED_FILE
from textinv.training import IN_TRAINING, Progress, TrainedConcept, Work
from textinv.training.checkpoint import Checkpoint

_NOTHING: Mapping[str, Any] = {"step": 0, "sample_passes": 0, "seconds": 0.0}


class Results:
    """A `TrainingSink` that writes everything to the store itself."""

    def __init__(
        self,
        queue: QueueForWorkers,
        registry: Registry,
        work: Leases,
        outbox: Outbox,
        worker: str,
        draw: Draw | None = None,
        sheets: Sheets | None = None,
        meters: PackMeters | None = None,
    ) -> None:
        """`draw` makes preview pictures; None: there are none. `sheets` has the pinned pictures of what was scored."""
        self._queue, self._registry, self._leases, self._outbox = queue, registry, work, outbox
        self._job_store = JobStore(registry.store)
        self._previews = Previews(registry.store, outbox, draw)
        self._sheets = sheets or Sheets()
        self._worker = worker
        self._modes: dict[str, GateMode] = {}
        self._meters = meters or PackMeters(NoBoard(), "")

    def started(self, work: Work, slot: int) -> None:
        """Say that a slot took the work, and where it goes on."""
        begun = Checkpoint.from_bytes(work.checkpoint).counters if work.checkpoint else _NOTHING
        self._meters.began(work.work_id, slot, begun["sample_passes"])
        at = StepReport(begun["step"], work.spec.max_steps, None, begun["sample_passes"], begun["seconds"], "started")
        self._report(work, at)

    def progress(self, work: Work, progress: Progress) -> None:
        """Pass the progress on.

        Raises:
            CancelledError: the concept is not wanted any more, or another worker has it.
        """
        self._meters.came_to(work.work_id, progress.sample_passes)
        loss = progress.loss if math.isfinite(progress.loss) else None
        report = StepReport(
            progress.step,
            progress.max_steps,
            loss,
            progress.sample_passes,
            progress.elapsed_s,
            progress.state,
            self._previews.stored(work),
        )
        self._report(work, report)
        self._leases.check(work.work_id)
        if progress.embedding is not None and progress.state == IN_TRAINING:
            self._previews.show(work, progress.step, progress.embedding)

    def checkpoint(self, work: Work, data: bytes) -> None:
        """Keep the work's state; losing one only costs time."""
        self._outbox.post(
            lambda: self._job_store.write_checkpoint(work.work_id, data),
            lambda error: None,
            subject=_state_of(work),
        )

    def finished(self, work: Work, concept: TrainedConcept) -> None:
        """Publish, then say so; a last preview shows the rows that are kept."""
        self._meters.ended(work.work_id)
        picture = self._previews.draw(work, concept.embedding)
        sheet = self._sheets.take(work.spec, concept.embedding)
        pinned = {} if sheet is None else {"pinned": sheet.facts()}
        files = {} if sheet is None else {PINNED_FILE: sheet.picture}
        files |= {} if picture is None else {PREVIEW_FILE: picture}

        def publish() -> None:
            if picture is not None:
                self._previews.keep(work, concept.record["steps"], picture)
                self._report(work, _last_report(concept, concept.record["steps"]))
            found = self._registry.publish(
                work.spec.name,
                concept.embedding,
                concept.record | {"worker": self._worker} | pinned | self._gate(work, concept.record),
                fingerprint=work.work_id,
                base_model=work.spec.base_model,
                base_revision=work.spec.base_revision,
                files=files,
            )
            self._queue.finish(self._worker, work.work_id, found.version)
            self._leases.release(work.work_id)
            self._previews.forget(work)
            self._job_store.drop_checkpoint(work.work_id)

        # No checkpoint is needed any more; and what was learned waits for a place that is out of order.
        self._outbox.post(
            publish, lambda error: self._give_up(work, error, concept.record), subject=_state_of(work), waits=True
        )

    def _gate(self, work: Work, record: Mapping[str, Any]) -> dict[str, Any]:
        """What the record says of the version that is current now, beside this one."""
        job_id = self._leases.job_of(work.work_id)
        if job_id is None or not record.get("evaluation"):
            return {}
        if job_id not in self._modes:
            self._modes[job_id] = self._job_store.load(job_id).gate
        mode = self._modes[job_id]
        at = current_head(self._registry.store, work.spec.name, work.spec.base_revision)
        if mode == "off" or at is None:
            return {}
        return {"gate": gate_of(mode, at.head.entry.version, at.head.record, record)}

    def failed(self, work: Work, error: TextinvError, record: dict[str, Any]) -> None:
        """Say why, and let the queue decide whether it is tried again."""
        self._meters.ended(work.work_id)
        self._previews.forget(work)
        if error.details.get("lost"):
            self._leases.hand_back(work.work_id)
        elif error.details.get("keep_rows"):
            self._outbox.post(
                lambda: self._keep_rows(work, error, record), lambda failure: self._give_up(work, error, record)
            )
        elif isinstance(error, CorruptObjectError) and work.checkpoint is not None:
            self._outbox.post(
                lambda: self._begin_anew(work, error, record), lambda failure: self._give_up(work, error, record)
            )
        else:
            self._give_up(work, error, record)

    def _report(self, work: Work, report: StepReport) -> None:
        self._queue.report(self._worker, work.work_id, report)

    def _give_up(self, work: Work, error: TextinvError, record: dict[str, Any]) -> None:
        job_id = self._leases.job_of(work.work_id)
        is_final = self._leases.give_up(work.work_id, error)
        if is_final and job_id is not None and not isinstance(error, CancelledError):
            failure = Failure(
                fingerprint=work.work_id, name=work.spec.name, code=error.code, message=error.message, record=record
            )
            self._outbox.post(lambda: self._job_store.write_failure(job_id, failure), lambda error: None)

    def _begin_anew(self, work: Work, error: TextinvError, record: dict[str, Any]) -> None:
        """Forget a checkpoint that cannot be read before the work is tried again."""
        self._job_store.drop_checkpoint(work.work_id)
        self._give_up(work, error, record)

    def _keep_rows(self, work: Work, error: TextinvError, record: dict[str, Any]) -> None:
        """Publish the best rows, which the last checkpoint has, and then give the concept up."""
        data = self._job_store.checkpoint(work.work_id)
        if data is not None:
            publish_best_rows(self._registry, work.spec, data, record)
        self._give_up(work, error, record)


def _state_of(work: Work) -> str:
    """What letters about the work's state have for their subject: the last one says all."""
    return f"state of {work.work_id}"


def _last_report(concept: TrainedConcept, preview: int) -> StepReport:
    """How far a concept came that has ended."""
    record = concept.record
    last = record["trace"][-1]["loss"] if record["trace"] else None
    return StepReport(
        record["steps"],
        concept.spec.max_steps,
        last,
        record["sample_passes"],
        record["seconds"],
        record["stopped"],
        preview,
    )
