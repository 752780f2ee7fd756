"""What a queue shows of itself: plain values for drivers, made from its ledger.

Owns how much is shown: all specs of a small job, else those that run and that ended last.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cluster.queue.lease import Death, StepReport, WorkerCard
from cluster.queue.ledger import Item, JobLine, Member

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


def job_view(line: JobLine, items: Mapping[str, Item], running: Mapping[str, list[Item]], now: float) -> JobView:
    """Show a job; `running` has the leased specs of each job."""
    mine = running.get(line.job_id, [])
    if len(line.members) <= SHOWN_WHOLE:
        shown = [item for fingerprint in line.members if (item := items.get(fingerprint)) is not None]
    else:
        ended = (items.get(fingerprint) for fingerprint in dict.fromkeys(line.recent))
        shown = [*mine[:SHOWN_RUNNING], *(item for item in ended if item is not None and item.state != "leased")]
    return JobView(
        job_id=line.job_id,
        counts=dict(line.counts),
        done_before=line.done_before,
        elapsed_s=now - line.opened,
        specs=tuple(_spec_view(item, line.job_id) for item in shown),
        part_done=sum(_part(item) for item in mine),
    )


def worker_view(member: Member, items: Mapping[str, Item], now: float) -> WorkerView:
    """Show a worker."""
    names = sorted(items[fingerprint].entry.name for fingerprint in member.leases)
    return WorkerView(member.card, tuple(names), now - member.seen)


def _spec_view(item: Item, job_id: str) -> SpecView:
    state = item.state if job_id in item.jobs else "cancelled"
    entry = item.entry
    return SpecView(entry.fingerprint, entry.name, state, item.worker, item.report, item.version, item.problem)


def _part(item: Item) -> float:
    return item.report.step / max(1, item.report.max_steps) if item.report else 0.0
