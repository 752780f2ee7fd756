"""From the queues back into the store: statuses and logs of jobs, for people and programs.

Owns how a queue's view becomes a status, when it is written, and a job's log. What it writes is derived: nothing
depends on it but displays.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from cluster.driver.open_jobs import OpenJob
from cluster.queue.messages import StepReport
from cluster.queue.views import SHOWN_WHOLE, Event, JobView, QueueView, SpecView
from textinv.jobs import ConceptStatus, Failure, JobStatus, JobStore
from textinv.jobs.advice import WHY
from textinv.jobs.layout import log_key
from textinv.jobs.record import now
from textinv.jobs.status import ConceptState, state_of

EVERY_S = 1.0
"""A status is written at most so often."""
MAX_LINES = 2000
MAX_POINTS = 128
"""Of a curve in a status, which is written every second; training records hold all."""
_STATES: Mapping[str, ConceptState] = {
    "waiting": "waiting",
    "leased": "running",
    "done": "done",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass
class Trace:
    """What was heard of a concept so far: looks at the fixed batch, and the steps of its previews."""

    curve: list[tuple[int, float]] = field(default_factory=list)
    previews: list[int] = field(default_factory=list)

    def hear(self, report: StepReport) -> None:
        """Take in a report; a concept that was resumed goes on from a step before the last one."""
        if report.loss is not None and (not self.curve or self.curve[-1] != (report.step, report.loss)):
            self.curve = [point for point in self.curve if point[0] < report.step]
            self.curve.append((report.step, report.loss))
            if len(self.curve) > MAX_POINTS:  # half of them, and the last
                self.curve = [*self.curve[:-1:2], self.curve[-1]]
        if report.preview and report.preview not in self.previews:
            self.previews = sorted((*self.previews, report.preview))


@dataclass
class _Reported:
    """What is known of a job's reports: when its status was written, and its log."""

    written: float = -EVERY_S
    status: JobStatus | None = None
    traces: dict[str, Trace] = field(default_factory=dict)
    """Of the concepts of a small job, by fingerprint."""
    begun: tuple[float, float] | None = None
    """When the first step was heard of, after how many seconds of the job, and how many concepts were learned then."""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=MAX_LINES))
    is_logged: bool = True


class Reports:
    """Writes the statuses and logs of a driver's jobs."""

    def __init__(self, job_store: JobStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._job_store = job_store
        self._clock = clock
        self._reported: dict[str, _Reported] = {}

    def note(self, event: Event) -> None:
        """Write an event into the logs of its jobs, and why a spec was given up where everybody finds it."""
        for job_id in event.jobs:
            self.say(job_id, f"{event.name}: {event.kind}{f' ({event.text})' if event.text else ''}")
        # A worker that gives a spec up writes it down for the job of its lease, but knows of no other.
        if event.kind == "failed" and (event.deaths or len(event.jobs) > 1):
            code, _, message = event.text.partition(": ")
            evidence = tuple(death.as_json() for death in event.deaths)
            failure = Failure(
                fingerprint=event.fingerprint, name=event.name, code=code, message=message, evidence=evidence
            )
            for job_id in event.jobs:
                self._job_store.write_failure(job_id, failure, unless_known=not event.deaths)

    def say(self, job_id: str, text: str) -> None:
        """Write a line into a job's log."""
        reported = self._reported_of(job_id)
        reported.lines.append(f"{datetime.now():%Y-%m-%d %H:%M:%S}  {text}")
        reported.is_logged = False

    def write(self, job: OpenJob, view: JobView, queue: QueueView, problem: str | None = None) -> JobStatus:
        """Write a job's status and log, if they changed and it is time."""
        reported = self._reported_of(job.record.id)
        if job.record.num_concepts <= SHOWN_WHOLE:
            self._trace(reported, view)
        if reported.begun is None and (learned := _learned(view)) > 0:
            reported.begun = view.elapsed_s, learned
        status = status_of(job, view, queue, problem, reported.traces, _concepts_per_s(view, reported.begun))
        is_due = self._clock() - reported.written >= EVERY_S
        if status.ended or (is_due and not _same(status, reported.status)):
            self._job_store.write_status(status)
            reported.status, reported.written = status, self._clock()
        if not reported.is_logged and (is_due or status.ended):
            self._job_store.store.put(log_key(job.record.id), "\n".join(reported.lines).encode(), "text/plain")
            reported.is_logged = True
        return status

    def _trace(self, reported: _Reported, view: JobView) -> None:
        for spec in view.specs:
            trace = reported.traces.setdefault(spec.fingerprint, Trace())
            if spec.report is not None:
                trace.hear(spec.report)

    def forget(self, job_id: str) -> None:
        """Be done with a job."""
        self._reported.pop(job_id, None)

    def _reported_of(self, job_id: str) -> _Reported:
        if job_id not in self._reported:
            self._reported[job_id] = _Reported()
            self._reported[job_id].lines.extend(self._job_store.log(job_id).splitlines())
            before = self._job_store.status(job_id)  # what another driver has seen of it
            for concept in before.concepts if before else ():
                trace = Trace(list(concept.curve), list(concept.previews))
                self._reported[job_id].traces[concept.fingerprint] = trace
        return self._reported[job_id]


def status_of(
    job: OpenJob,
    view: JobView,
    queue: QueueView,
    problem: str | None = None,
    traces: Mapping[str, Trace] = MappingProxyType({}),
    pace: float | None = None,
) -> JobStatus:
    """Tell how far a job is; `pace` is in concepts per second."""
    counts = {state: view.counts.get(state, 0) for state in ("waiting", "leased", "done", "failed", "cancelled")}
    running = counts.pop("leased")
    state = "failed" if problem else state_of(running=running, **counts)
    waits_for = next((worker.trouble for worker in queue.workers if worker.trouble), None)
    if problem is None and waits_for is not None and state in ("waiting", "running"):
        problem = f"it waits until a worker can learn again: {waits_for}"
    left = counts["waiting"] + running - view.part_done
    return JobStatus(
        job_id=job.record.id,
        name=job.record.name,
        generation=job.record.generation,
        state=state,
        running=running,
        workers=sum(bool(worker.leases) for worker in queue.workers),
        elapsed_s=view.elapsed_s,
        concepts_per_hour=None if pace is None else 3600 * pace,
        eta_s=None if pace is None else max(left / pace, _longest_s(view)),
        updated=now(),
        problem=problem,
        concepts=tuple(_concept(spec, traces.get(spec.fingerprint)) for spec in view.specs),
        **counts,
    )


def _longest_s(view: JobView) -> float:
    """How long those that run take to their last step: others may have been shorter, those without steps above all."""
    reports = [spec.report for spec in view.specs if spec.state == "leased" and spec.report and spec.report.step]
    return max((one.elapsed_s / one.step * (one.max_steps - one.step) for one in reports), default=0.0)


def _learned(view: JobView) -> float:
    """How many concepts were learned since the driver took the job up, parts counted."""
    return view.counts.get("done", 0) - view.done_before + view.part_done


def _concepts_per_s(view: JobView, begun: tuple[float, float] | None) -> float | None:
    """How fast concepts are learned since the first step, before which workers start; None until something was."""
    seconds, learned = (view.elapsed_s - begun[0], _learned(view) - begun[1]) if begun else (0.0, 0.0)
    return learned / seconds if learned > 0 and seconds > 0 else None


def _concept(spec: SpecView, trace: Trace | None) -> ConceptStatus:
    report = spec.report
    return ConceptStatus(
        name=spec.name,
        fingerprint=spec.fingerprint,
        state=_STATES[spec.state],
        step=report.step if report else 0,
        max_steps=report.max_steps if report else 0,
        loss=report.loss if report else None,
        sample_passes=report.sample_passes if report else 0,
        elapsed_s=report.elapsed_s if report else 0.0,
        worker=spec.worker,
        version=spec.version,
        problem=spec.problem,
        stopped=report.state if report and report.state in WHY else None,
        curve=tuple(trace.curve) if trace else (),
        previews=tuple(trace.previews) if trace else (),
    )


def _same(status: JobStatus, before: JobStatus | None) -> bool:
    """Whether nothing but the time has changed."""
    timeless = {"updated": "", "elapsed_s": 0.0, "eta_s": None, "concepts_per_hour": None}
    return before is not None and status.model_copy(update=timeless) == before.model_copy(update=timeless)
