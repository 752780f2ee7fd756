"""What a queue shows of itself: plain values for drivers, made from what it remembers.

Owns how much is shown: all specs of a small job, else those that run and that ended last.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.queue.fair_share import QueuedJob
from cluster.queue.messages import Death, StepReport, WorkerCard
from cluster.queue.state import KnownWorker, QueuedSpec

SHOWN_WHOLE = 64
"""Jobs of up to so many specs are shown whole."""
SHOWN_RUNNING = 256
"""Of a larger job so many specs that run are shown: a status is written every second."""


@dataclass(frozen=True, slots=True)
class SpecView:
    """A spec in a job."""

    fingerprint: str
    name: str
    state: str
    worker: str | None
    report: StepReport | None
    version: int | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class JobView:
    """A job: how many of its specs are in which state, and some of them."""

    job_id: str
    counts: Mapping[str, int]
    done_before: int
    elapsed_s: float
    specs: tuple[SpecView, ...]
    part_done: float
    """Of the specs that run, how many are done if parts are added up."""

    @property
    def unsettled(self) -> int:
        """Specs that wait or run."""
        return self.counts.get("waiting", 0) + self.counts.get("leased", 0)


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker."""

    card: WorkerCard
    leases: tuple[str, ...]
    """Names of the concepts that it has."""
    silent_s: float
    trouble: str = ""
    """What is wrong with its place: keys, the store, its disk."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a spec: `leased`, `resumed`, `returned`, `done`, `failed` or `cancelled`."""

    kind: str
    fingerprint: str
    name: str
    jobs: tuple[str, ...]
    text: str
    deaths: tuple[Death, ...] = ()
    """All the spec's, when this was a death too."""


@dataclass(frozen=True, slots=True)
class QueueView:
    """A queue as a whole; `num_events` numbers the events so far, of which `events` are the last."""

    jobs: tuple[JobView, ...]
    workers: tuple[WorkerView, ...]
    events: tuple[Event, ...]
    num_events: int
    waiting: int
    leased: int
    expiries: int
    repeated_passes: int
    """Sample passes that were made again, as the worker that made them died before its next checkpoint."""
    failed_starts: tuple[str, ...]
    """Why workers died before they had any work, since one last had some."""
    deaths: int = 0
    """Workers that died."""


def job_view(
    job: QueuedJob, specs: Mapping[str, QueuedSpec], running: Mapping[str, list[QueuedSpec]], now: float
) -> JobView:
    """Show a job; `running` has the leased specs of each job."""
    mine = running.get(job.job_id, [])
    if len(job.members) <= SHOWN_WHOLE:
        shown = [spec for fingerprint in job.members if (spec := specs.get(fingerprint)) is not None]
    else:
        ended = (specs.get(fingerprint) for fingerprint in dict.fromkeys(job.recent))
        shown = [*mine[:SHOWN_RUNNING], *(spec for spec in ended if spec is not None and spec.state != "leased")]
    return JobView(
        job_id=job.job_id,
        counts=dict(job.counts),
        done_before=job.done_before,
        elapsed_s=now - job.opened,
        specs=tuple(_spec_view(spec, job.job_id) for spec in shown),
        part_done=sum(_part(spec) for spec in mine),
    )


def worker_view(worker: KnownWorker, specs: Mapping[str, QueuedSpec], now: float) -> WorkerView:
    """Show a worker."""
    names = sorted(specs[fingerprint].ref.name for fingerprint in worker.leases)
    return WorkerView(worker.card, tuple(names), now - worker.seen, worker.trouble)


def _spec_view(spec: QueuedSpec, job_id: str) -> SpecView:
    state = spec.state if job_id in spec.jobs else "cancelled"
    ref = spec.ref
    return SpecView(ref.fingerprint, ref.name, state, spec.worker, spec.report, spec.version, spec.problem)


def _part(spec: QueuedSpec) -> float:
    return spec.report.step / max(1, spec.report.max_steps) if spec.report else 0.0
