"""The job store: jobs as records in an object store, read and changed.

Owns the order of writes. Safe between processes: a change of a job is a swap of its record, followed by a change of the
mark that drivers watch. Does not know who trains. Deleting pictures is in `purge`.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from textinv.errors import (
    CorruptObjectError,
    InputError,
    ObjectNotFoundError,
    StoreConflictError,
    UnknownConceptError,
    in_a_line,
)
from textinv.jobs.guess_order import read_order, trained_guess
from textinv.jobs.layout import (
    CHECKPOINTS,
    FAILURES,
    JOBS,
    OPEN_JOBS,
    cancellation_key,
    checkpoint_key,
    deaths_key,
    deaths_prefix,
    failure_key,
    failures_prefix,
    fingerprint_of,
    job_key,
    log_key,
    open_key,
    purged_key,
    spec_sheet_key,
    status_key,
)
from textinv.jobs.record import Cancellation, Deaths, Failure, JobRecord, now, read_spec_sheet, spec_lines
from textinv.jobs.status import ENDED, ConceptState, JobStatus, waiting_status
from textinv.spec import TrainSpec
from textinv.states import changes_nothing
from textinv.store.change import change
from textinv.store.protocol import JSON, ObjectStore

_SHOWN_IDS = 4


class Outcome(NamedTuple):
    """What became of an action on a job."""

    record: JobRecord
    changed: bool = True
    note: str | None = None
    """What the action did not change, and why."""


class JobStore:
    """Jobs in `store`."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store

    def load(self, job_id: str) -> JobRecord:
        """Read a job's record.

        Raises:
            UnknownConceptError: there is no such job.
        """
        try:
            return _parsed(job_id, self.store.get(job_key(job_id)).body)
        except ObjectNotFoundError:
            return _parsed(job_id, None)

    def find(self, text: str) -> JobRecord:
        """Read the record of the job with this id, else of the one whose id begins so.

        Raises:
            UnknownConceptError: there is no such job.
            InputError: the ids of several begin so.
        """
        if not is_beginning(text):
            raise UnknownConceptError(
                f"there is no job {text!r}: that is not a job id; `textinv job ls` lists all jobs", job=text
            )
        try:
            return self.load(text)
        except UnknownConceptError:
            ids = _some_ids(self.store, text)
            if not ids:
                raise
        if len(ids) > 1:
            raise InputError(f"several job ids begin with {text!r} ({', '.join(ids)}): give more of it")
        return self.load(ids[0])

    def jobs(self) -> list[JobRecord]:
        """All jobs, the last submitted first."""
        ids = [info.key.split("/")[1] for info in self.store.list(JOBS) if info.key.endswith("/job.json")]
        with ThreadPoolExecutor(16) as threads:
            return sorted(threads.map(self.load, ids), key=lambda record: record.submitted, reverse=True)

    def open_jobs(self) -> dict[str, str]:
        """The jobs that have work to do, each with a tag that changes when somebody changes the job."""
        return {info.key.removeprefix(OPEN_JOBS): info.etag for info in self.store.list(OPEN_JOBS)}

    def spec_sheets(self, record: JobRecord) -> Iterator[list[TrainSpec]]:
        """A job's specs, a sheet at a time."""
        return (self.spec_sheet(record.id, number) for number in range(record.num_sheets))

    def specs(self, record: JobRecord) -> Iterator[TrainSpec]:
        """A job's specs, one by one."""
        return (spec for sheet in self.spec_sheets(record) for spec in sheet)

    def spec_sheet(self, job_id: str, number: int) -> list[TrainSpec]:
        """One sheet of a job's specs."""
        key = spec_sheet_key(job_id, number)
        return read_spec_sheet(key, self.store.get(key).body)

    def spec_lines(self, job_id: str, number: int) -> list[bytes]:
        """One sheet of a job's specs, as they are written."""
        key = spec_sheet_key(job_id, number)
        return spec_lines(key, self.store.get(key).body)

    def status(self, job_id: str) -> JobStatus | None:
        """How far a job is, if its driver has ever said so."""
        try:
            return JobStatus.read(self.store.get(status_key(job_id)).body)
        except ObjectNotFoundError:
            return None

    def write_status(self, status: JobStatus) -> None:
        """Say how far a job is."""
        self.store.put(status_key(status.job_id), status.body(), JSON)

    def current_status(self, record: JobRecord, body: bytes | None = None) -> JobStatus:
        """What holds of a job: what its driver last said (`body`, else as stored), unless the job changed since."""
        status = self.status(record.id) if body is None else JobStatus.read(body)
        return status if status is not None and status.generation >= record.generation else waiting_status(record)

    def log(self, job_id: str) -> str:
        """What happened in a job, one line each."""
        try:
            return self.store.get(log_key(job_id)).body.decode()
        except ObjectNotFoundError:
            return ""

    def open(self, record: JobRecord, *, is_done: bool = False) -> JobRecord:
        """Write a record of this job, or bring the one that is there up to it, and let drivers see what is to do."""
        before = self.status(record.id) if is_done else None
        fields = {
            name: getattr(record, name)
            for name in ("priority", "submitted", "base_model", "fleet", "gate", "name_prefix")
        }
        try:
            record = self._change(record.id, lambda old: old.model_copy(update=fields))
        except UnknownConceptError:
            with suppress(StoreConflictError):  # somebody else submits the same at this moment
                self.store.create(job_key(record.id), record.body(), JSON)
        if is_done:
            if before is None or before.state != "done":
                done = {"state": "done", "waiting": 0, "done": record.num_concepts}
                before = waiting_status(record).model_copy(update=done)
            self.write_status(before.model_copy(update={"generation": record.generation}))
        else:
            self._mark(record)
        return record

    def resume(self, job_id: str, fleet: str | None = None) -> Outcome:
        """Take a job up again, on another fleet if one is named; what was cancelled or failed is wanted again, and what
        was removed since it was done.

        Raises:
            UnknownConceptError: there is no such job.
            InputError: its pictures were deleted on purpose.
        """
        record = self.load(job_id)
        note = changes_nothing("job", job_id, self.current_status(record).state, "resume")
        if note is not None and self._all_there(record):
            return Outcome(record, changed=False, note=note)
        if self.store.exists(purged_key(job_id)):
            raise InputError(
                f"the pictures of job {job_id} were deleted (`textinv job purge`): submit its manifest again",
                job=job_id,
            )
        self.forget_misfortune(record)
        changes = {"submitted": now(), "fleet": record.fleet if fleet is None else fleet}
        return Outcome(self.open(record.model_copy(update=changes)))

    def hand_over(self, job_id: str, old: str, new: str) -> bool:
        """Make another fleet serve an open job as it stands, if it is still the old one's; whether it was.

        Raises:
            UnknownConceptError: there is no such job.
        """
        changed = self._change(job_id, lambda now: now.model_copy(update={"fleet": new}) if now.fleet == old else now)
        if changed.fleet == new:
            self._mark(changed)
        return changed.fleet == new

    def forget_misfortune(self, record: JobRecord) -> None:
        """Forget what of a job was cancelled and what failed."""
        self.store.delete([cancellation_key(record.id)])
        failed = self.failed_fingerprints(record.id)
        self.store.delete([key(record.id, one) for one in failed for key in (failure_key, deaths_key)])

    def cancel(self, job_id: str, names: Iterable[str] | None = None, keep_rows: bool = False) -> Outcome:
        """Say that a job, or some of its concepts, are not wanted any more; what has ended stays as it is.

        Raises:
            UnknownConceptError: there is no such job, or no such concept in it.
        """
        record, before = self.load(job_id), self.cancellation(job_id)
        wanted = None if names is None else tuple(names)
        if wanted is not None:
            self._check_names(record, wanted)
        states = self._states(record, wanted, before)
        notes = [one for one in (changes_nothing(*state, "cancel") for state in states) if one is not None]
        keeps_more = keep_rows and before is not None and not before.keep_rows
        has_ended = self.current_status(record).state in ENDED
        if len(notes) == len(states) and (has_ended or not keeps_more):
            return Outcome(record, changed=False, note="; ".join(notes))
        asked = Cancellation(names=wanted, keep_rows=keep_rows)
        change(self.store, cancellation_key(job_id), lambda body: asked.beside(body).body())
        changed = self._change(job_id, lambda old: old)
        self._mark(changed)  # even if it was closed this moment: only a driver can say how it stands now
        return Outcome(changed, note="; ".join(notes) or None)

    def cancellation(self, job_id: str) -> Cancellation | None:
        """What of a job is not wanted any more."""
        try:
            return Cancellation.model_validate_json(self.store.get(cancellation_key(job_id)).body)
        except ObjectNotFoundError:
            return None

    def close(self, record: JobRecord) -> None:
        """Say that a job has no work to do, unless somebody changed it since `record` was read."""
        self.store.delete([open_key(record.id)])
        latest = self.load(record.id)
        if latest.generation > record.generation:
            self._mark(latest)

    def failed_fingerprints(self, job_id: str) -> set[str]:
        """Fingerprints of a job's specs that were given up."""
        return {fingerprint_of(info.key) for info in self.store.list(failures_prefix(job_id))}

    def last_failures(self, most: int) -> list[tuple[str, str, datetime]]:
        """The specs of any job that were given up last, by job and fingerprint, and when; the last one first."""
        infos = heapq.nlargest(most, self.store.list(FAILURES), key=lambda info: info.modified)
        return [(info.key.split("/")[1], fingerprint_of(info.key), info.modified) for info in infos]

    def failure(self, job_id: str, fingerprint: str) -> Failure | None:
        """Why a spec of a job was given up."""
        try:
            return Failure.model_validate_json(self.store.get(failure_key(job_id, fingerprint)).body)
        except ObjectNotFoundError:
            return None

    def write_failure(self, job_id: str, failure: Failure, *, unless_known: bool = False) -> None:
        """Say why a spec of a job was given up; somebody else may have said it with more detail."""
        key = failure_key(job_id, failure.fingerprint)
        if not unless_known:
            self.store.put(key, failure.body(), JSON)
            return
        with suppress(StoreConflictError):
            self.store.create(key, failure.body(), JSON)

    def died_fingerprints(self, job_id: str) -> set[str]:
        """Fingerprints of a job's specs that workers died with."""
        return {fingerprint_of(info.key) for info in self.store.list(deaths_prefix(job_id))}

    def deaths(self, job_id: str, fingerprint: str) -> Deaths:
        """Who died while they had a spec of a job."""
        try:
            return Deaths.model_validate_json(self.store.get(deaths_key(job_id, fingerprint)).body)
        except (ObjectNotFoundError, ValidationError):
            return Deaths(evidence=())

    def write_deaths(self, job_id: str, fingerprint: str, deaths: Deaths) -> None:
        """Keep the evidence against a spec, which nobody else may have after a restart."""
        self.store.put(deaths_key(job_id, fingerprint), deaths.body(), JSON)

    def drop_deaths(self, job_id: str, fingerprints: Iterable[str]) -> None:
        """Forget the evidence against specs of a job."""
        self.store.delete([deaths_key(job_id, one) for one in fingerprints])

    def checkpoint(self, fingerprint: str) -> bytes | None:
        """A concept's resumable state."""
        try:
            return self.store.get(checkpoint_key(fingerprint)).body
        except ObjectNotFoundError:
            return None

    def write_checkpoint(self, fingerprint: str, data: bytes) -> None:
        """Keep a concept's resumable state."""
        self.store.put(checkpoint_key(fingerprint), data)

    def drop_checkpoint(self, fingerprint: str) -> None:
        """Forget a concept's resumable state."""
        self.store.delete([checkpoint_key(fingerprint)])

    def checkpoints(self) -> set[str]:
        """Fingerprints of all concepts that could be resumed."""
        return {info.key.removeprefix(CHECKPOINTS) for info in self.store.list(CHECKPOINTS)}

    def _all_there(self, record: JobRecord) -> bool:
        if record.kind == "guess":
            return trained_guess(self.store, read_order(self.store, record.id)) is not None
        wanted = {spec.fingerprint for spec in self.specs(record)}
        return wanted <= self._done(wanted)

    def _done(self, fingerprints: Iterable[str]) -> set[str]:
        from textinv.plan.published import finished_among
        from textinv.registry import Registry

        return finished_among(list(fingerprints), Registry(self.store))

    def _states(
        self, record: JobRecord, names: Sequence[str] | None, cancellation: Cancellation | None
    ) -> list[tuple[str, str, str]]:
        """A job, or these of its concepts, each with its state."""
        state = self.current_status(record).state
        if names is None:
            is_cancelled = state not in ENDED and cancellation is not None and cancellation.names is None
            return [("job", record.id, "cancelled" if is_cancelled else state)]
        specs = [spec for spec in self.specs(record) if spec.name in names]
        done, failed = self._done(spec.fingerprint for spec in specs), self.failed_fingerprints(record.id)
        return [
            ("concept", spec.name, end_of(spec.fingerprint, spec.name, done, failed, cancellation) or "waiting")
            for spec in specs
        ]

    def _check_names(self, record: JobRecord, names: Iterable[str]) -> None:
        known = {spec.name for spec in self.specs(record)}
        for name in names:
            if name not in known:
                raise UnknownConceptError(f"there is no concept {name!r} in job {record.id}", concept=name)

    def _change(self, job_id: str, make: Callable[[JobRecord], JobRecord]) -> JobRecord:
        """Replace a record by its successor."""

        def successor(body: bytes | None) -> bytes:
            old = _parsed(job_id, body)
            return make(old).model_copy(update={"generation": old.generation + 1}).body()

        return _parsed(job_id, change(self.store, job_key(job_id), successor))

    def _mark(self, record: JobRecord) -> None:
        self.store.put(open_key(record.id), b'{"generation":%d}' % record.generation, JSON)


def _parsed(job_id: str, body: bytes | None) -> JobRecord:
    """The record that lies at a job's key, or does not."""
    if body is None:
        raise UnknownConceptError(
            f"there is no job {job_id!r} in the store: `textinv job ls` lists all jobs", job=job_id
        )
    try:
        return JobRecord.model_validate_json(body)
    except ValidationError as error:
        raise CorruptObjectError(
            f"{job_key(job_id)} is not a job record: {in_a_line(error)}", key=job_key(job_id)
        ) from error


def is_beginning(text: str) -> bool:
    """Whether an id of a job may begin so."""
    return bool(text) and text.isascii() and text.replace("-", "").isalnum()


def _some_ids(store: ObjectStore, beginning: str) -> list[str]:
    """The first few ids that begin so."""
    ids: dict[str, None] = {}
    for info in store.list(f"{JOBS}{beginning}"):
        if info.key.endswith("/job.json"):
            ids[info.key.split("/")[1]] = None
        if len(ids) == _SHOWN_IDS:
            break
    return list(ids)


def end_of(
    fingerprint: str, name: str, done: Set[str], failed: Set[str], cancellation: Cancellation | None
) -> ConceptState | None:
    """How a job's spec has ended; None when there is work to do for it."""
    if fingerprint in done:
        return "done"
    if cancellation is not None and cancellation.covers(name):
        return "cancelled"
    return "failed" if fingerprint in failed else None
