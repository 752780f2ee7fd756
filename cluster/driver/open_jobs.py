"""The jobs that a driver serves: which are open in the store, and how their specs stand, as queues are told.

Owns reading job records and telling a queue about them, again and again: after a restart of either side, and whenever
somebody changed a job. What is done is said by the registry, of guesses by the published ones, and nobody else. Rows of
cancelled specs that are to be kept are published from here when no worker has them.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass

from cluster.queue.messages import NO_SHEET, BaseModelRef, Death, SpecRef
from cluster.queue.on_ray import QueueForDriver
from cluster.queue.views import Event
from cluster.worker.kept_rows import publish_best_rows
from textinv.errors import CorruptObjectError, TextinvError
from textinv.jobs import Cancellation, JobRecord, JobStore, guess_order
from textinv.jobs.job_store import end_of
from textinv.jobs.record import Deaths
from textinv.plan.published import FEW, finished_among
from textinv.registry import Registry


@dataclass
class OpenJob:
    """A job that a driver serves; `tag` changes when somebody changes the job."""

    record: JobRecord
    tag: str
    base: BaseModelRef
    keeps_rows: bool = False
    """Whether the best rows so far of what is cancelled are published."""


class OpenJobs:
    """The open jobs of a fleet."""

    def __init__(self, registry: Registry, fleet: str) -> None:
        self.job_store = JobStore(registry.store)
        self._registry, self._fleet = registry, fleet
        self._passed: dict[str, str] = {}
        self._died: set[str] = set()
        self.jobs: dict[str, OpenJob] = {}

    def changed(self) -> list[str]:
        """The ids of open jobs that are new here, or that somebody changed."""
        tags = self.job_store.open_jobs()
        known = self._passed | {job_id: job.tag for job_id, job in self.jobs.items()}
        return [job_id for job_id, tag in tags.items() if known.get(job_id) != tag]

    @property
    def passed(self) -> Collection[str]:
        """Jobs that are other fleets', as far as was seen."""
        return self._passed.keys()

    def take_up(self, job_id: str) -> OpenJob | None:
        """Read a job's record; None when it is another fleet's."""
        tag = self.job_store.open_jobs().get(job_id, "")
        record = self.job_store.load(job_id)
        if record.fleet != self._fleet:
            self._passed[job_id] = tag
            self.jobs.pop(job_id, None)
            return None
        base = BaseModelRef(record.base_model, record.revision, record.base_revision)
        self.jobs[job_id] = OpenJob(record, tag, base)
        return self.jobs[job_id]

    def tell(self, job: OpenJob, queue: QueueForDriver) -> None:
        """Tell a queue of a job and how each of its specs stands; after an error the job is to be taken up again."""
        try:
            self._tell(job, queue)
        except TextinvError:
            self.jobs.pop(job.record.id, None)  # or what the queue was not told of would count as settled
            raise

    def _tell(self, job: OpenJob, queue: QueueForDriver) -> None:
        self._registry.check_format()
        record, cancellation = job.record, self.job_store.cancellation(job.record.id)
        failed, died = self.job_store.failed_fingerprints(record.id), self.job_store.died_fingerprints(record.id)
        job.keeps_rows = cancellation is not None and cancellation.keep_rows
        queue.open_job(record.id, record.priority, keep_rows=job.keeps_rows)
        done, dropped = set[str](), set[str]()
        for refs, settled in self._batches(record, failed, cancellation):
            done |= {fingerprint for fingerprint, stand in settled.items() if stand == "done"}
            unwanted = queue.add(record.id, refs, settled)
            if job.keeps_rows:
                dropped |= unwanted
            suspects = [one.fingerprint for one in refs if one.fingerprint in died and one.fingerprint not in settled]
            if suspects:
                queue.recall({one: self._deaths_of(record.id, one) for one in suspects})
        self._died |= died
        self.job_store.drop_deaths(record.id, died & done)
        self.keep_rows(job, dropped)

    def _batches(
        self, record: JobRecord, failed: set[str], cancellation: Cancellation | None
    ) -> Iterator[tuple[list[SpecRef], dict[str, str]]]:
        """A job's specs and the states of those that are not waiting, a sheet at a time; or its guess."""
        if record.kind == "guess":
            order = guess_order.read_order(self._registry.store, record.id)
            ref = SpecRef(order.fingerprint, guess_order.NAME, NO_SHEET, 0)
            done = {ref.fingerprint} if guess_order.trained_guess(self._registry.store, order) else set()
            stand = end_of(ref.fingerprint, ref.name, done, failed, cancellation)
            yield [ref], {} if stand is None else {ref.fingerprint: stand}
            return
        listed = self._registry.finished_fingerprints() if record.num_concepts > FEW else None
        for number, sheet in enumerate(self.job_store.spec_sheets(record)):
            refs = [SpecRef(spec.fingerprint, spec.name, number, place) for place, spec in enumerate(sheet)]
            done = finished_among([ref.fingerprint for ref in refs], self._registry) if listed is None else listed
            stands = ((ref.fingerprint, end_of(ref.fingerprint, ref.name, done, failed, cancellation)) for ref in refs)
            yield refs, {fingerprint: stand for fingerprint, stand in stands if stand is not None}

    def note(self, event: Event) -> None:
        """Keep in the store who died with a spec, until it is done: a queue or driver after this one must know."""
        if event.kind == "returned" and event.deaths:
            deaths = Deaths(evidence=tuple(death.as_json() for death in event.deaths))
            for job_id in event.jobs:
                self.job_store.write_deaths(job_id, event.fingerprint, deaths)
            self._died.add(event.fingerprint)
        elif event.kind == "done" and event.fingerprint in self._died:
            for job_id in event.jobs:
                self.job_store.drop_deaths(job_id, [event.fingerprint])
            self._died.discard(event.fingerprint)

    def _deaths_of(self, job_id: str, fingerprint: str) -> tuple[Death, ...]:
        with suppress(KeyError):  # another program's
            return tuple(map(Death.from_json, self.job_store.deaths(job_id, fingerprint).evidence))
        return ()

    def keep_rows(self, job: OpenJob, dropped: Collection[str]) -> None:
        """Publish the best rows so far of specs that nobody trains or wants any more, if the job keeps them."""
        begun = self.job_store.checkpoints().intersection(dropped) if job.keeps_rows and dropped else ()
        if not begun:
            return
        for spec in (spec for spec in self.job_store.specs(job.record) if spec.fingerprint in begun):
            data = self.job_store.checkpoint(spec.fingerprint)
            if data is not None:
                with suppress(CorruptObjectError):  # then there are no rows to keep
                    publish_best_rows(self._registry, spec, data)

    def close(self, job: OpenJob, queue: QueueForDriver) -> None:
        """Be done with a job; if somebody changed it in the meantime, it is open again."""
        self.job_store.close(job.record)
        queue.close_job(job.record.id)
        del self.jobs[job.record.id]
