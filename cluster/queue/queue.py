"""The work queue: which spec is whose, for all jobs on one base model.

Owns leases, fairness between jobs, and what becomes of the specs of a dead worker. A plain class that is told the time
by its caller, so it can be simulated; `on_ray.py` puts it into a process. All operations may be repeated: a caller that
lost a reply asks again. Nothing is durable: what is done is said by the registry, what failed and who died with what by
the job store, what is half done by checkpoints, and living workers report what they have with every beat.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice

from cluster.queue.fair_share import FairShare, QueuedJob
from cluster.queue.messages import BeatReply, Death, Lease, SpecRef, StepReport, TakeReply, WorkerCard
from cluster.queue.retries import retry_of
from cluster.queue.state import KnownWorker, QueuedSpec
from cluster.queue.views import Event, QueueView, job_view, worker_view

LEASE_S = 30.0
"""A worker that is silent for so long is dead."""
MAX_DEATHS = 3
"""A spec that so many workers died with is set aside."""
PLENTY = 4
"""As long as more specs wait for each worker, it may take one before it has room, and no other lacks it at the end."""
ASKS_PER_S = 200.0
"""Workers ask for work that is not there so often, all together; an actor answers a thousand calls a second."""
REPORTS_PER_S = 200.0
"""So often they speak of progress, all together."""
MAX_EVENTS = 10_000
"""So many events are kept for a driver that looks seldom."""


class WorkQueue:
    """Hands out specs. `clock` counts seconds and never goes back."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        lease_s: float = LEASE_S,
        max_deaths: int = MAX_DEATHS,
        hold_s: float = 0.0,
    ) -> None:
        """`hold_s`: hand out nothing for so long, so that workers of a queue before this one can say what they have."""
        self._clock, self._hold_until = clock, clock() + hold_s
        self._lease_s = lease_s
        self._max_deaths = max_deaths
        self._specs: dict[str, QueuedSpec] = {}
        self._jobs: dict[str, QueuedJob] = {}
        self._turns = FairShare(self._jobs)
        self._workers: dict[str, KnownWorker] = {}
        """Those that were silent longest come first."""
        self._seats: dict[tuple[str, int], str] = {}
        self._dismissed: set[str] = set()
        self._early: dict[str, int | None] = {}
        self._counts: Counter[str] = Counter()
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._num_events = 0
        self._failed_starts: list[str] = []
        self._expiries = self._deaths = self._repeated_passes = 0
        self._looked = clock()
        self._asleep = 0.0
        """Seconds in which this queue did nothing."""

    # What drivers say.

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        """Make a place for a job, or change what holds for it; its specs come with `add`."""
        job = self._jobs.setdefault(job_id, QueuedJob(job_id, self._clock()))
        job.priority, job.keep_rows = priority, keep_rows
        self._turns.note(job)

    def add(self, job_id: str, specs: Sequence[SpecRef], settled: Mapping[str, str] | None = None) -> frozenset[str]:
        """Add specs to a job, or say again how they stand: `settled` names those that are done, failed or cancelled.

        Returned are the cancelled ones that no worker has and no other job wants. A job that is not open, as the queue
        began anew since, is left to the driver, who will notice.
        """
        job, settled = self._jobs.get(job_id), settled or {}
        if job is None:
            return frozenset()
        dropped = set()
        for ref in specs:
            target = settled.get(ref.fingerprint, "waiting")
            spec = self._specs.get(ref.fingerprint) or self._new_spec(ref, job_id, target)
            job.admit(spec)
            self._steer(spec, target, job)
            if spec.state == "cancelled" and spec.jobs == job.alone:
                dropped.add(ref.fingerprint)
        self._turns.note(job)
        return frozenset(dropped)

    def recall(self, deaths: Mapping[str, tuple[Death, ...]]) -> None:
        """Say who died with specs before this queue began; of what it has seen itself it knows more."""
        for fingerprint, those in deaths.items():
            spec = self._specs.get(fingerprint)
            if spec is not None and spec.state in ("waiting", "leased") and len(those) > len(spec.deaths):
                spec.deaths = those
                if spec.state == "waiting" and len(those) >= self._max_deaths:
                    self._set_aside(spec)

    def close_job(self, job_id: str) -> None:
        """Forget a job; specs that other jobs want, and those that a worker has, stay."""
        job = self._jobs.pop(job_id, None)
        for fingerprint in job.members if job else ():
            spec = self._specs.get(fingerprint)
            if spec is None:
                continue
            spec.jobs -= {job_id}
            if not spec.jobs and spec.state != "leased":
                self._forget(spec)

    def dismiss(self, crews: Iterable[str]) -> None:
        """Let the workers of these crews hand back what they have and go."""
        self._dismissed.update(crews)

    def bury_crew(self, crew: str) -> None:
        """Say that no worker of a crew lives any more."""
        for worker in [worker for worker in self._workers.values() if worker.card.crew == crew]:
            self._bury(worker, "its crew ended")

    def view(self, events_from: int = 0) -> QueueView:
        """Look at everything that a driver needs to know; events are given from a number on."""
        self._expire()
        now, running = self._clock(), self._running()
        awake = now - self._asleep
        fresh = max(0, min(self._num_events - events_from, len(self._events)))
        return QueueView(
            jobs=tuple(job_view(job, self._specs, running, now) for job in self._jobs.values()),
            workers=tuple(worker_view(worker, self._specs, awake) for worker in self._workers.values()),
            events=tuple(islice(self._events, len(self._events) - fresh, None)),
            num_events=self._num_events,
            waiting=self._counts["waiting"],
            leased=self._counts["leased"],
            expiries=self._expiries,
            repeated_passes=self._repeated_passes,
            failed_starts=tuple(self._failed_starts),
            deaths=self._deaths,
        )

    # What workers say.

    def join(self, card: WorkerCard) -> None:
        """Take in a worker; whoever sat on its seat before is dead."""
        if card.id in self._workers:
            return
        before = self._seats.get((card.crew, card.seat))
        if before is not None:
            self._bury(self._workers[before], "its seat was taken by a replacement")
        self._seats[card.crew, card.seat] = card.id
        self._workers[card.id] = KnownWorker(card, self._clock() - self._asleep)

    def take(self, card: WorkerCard, request: int) -> TakeReply:
        """Lease a spec; the same request of the same worker gets the same answer."""
        worker = self._hear(card)
        if request != worker.request:
            worker.request, worker.reply = request, self._reply(worker)
        return worker.reply

    def beat(self, card: WorkerCard, held: Collection[str], trouble: str = "") -> BeatReply:
        """Renew leases and say which to drop, hearing of a worker's trouble; an unknown one is taken in as it is."""
        worker = self._hear(card)
        worker.trouble = trouble
        lost = frozenset(fingerprint for fingerprint in held if not self._holds(worker, fingerprint))
        mine = [self._specs[fingerprint] for fingerprint in held if fingerprint in worker.leases]
        unwanted = [spec for spec in mine if spec.dropped]
        return BeatReply(
            cancelled=frozenset(spec.ref.fingerprint for spec in unwanted),
            lost=lost,
            dismissed=card.crew in self._dismissed,
            report_every_s=self._counts["leased"] / REPORTS_PER_S,
            others_wait=self._counts["waiting"] > 0,
            keep_rows=any(self._jobs[one].keep_rows for spec in unwanted for one in spec.jobs if one in self._jobs),
        )

    def report(self, worker_id: str, fingerprint: str, report: StepReport) -> None:
        """Note how far a concept is."""
        spec = self._specs.get(fingerprint)
        if spec is None or spec.worker != worker_id:
            return
        if spec.report is None and spec.passes > report.sample_passes:
            repeated = spec.passes - report.sample_passes
            self._repeated_passes += repeated
            self._note("resumed", spec, f"at step {report.step}; {repeated} sample passes are made again")
        spec.report = report

    def finish(self, worker_id: str, fingerprint: str, version: int | None) -> None:
        """Note that a spec was published, whoever says so; a guess has no version."""
        spec = self._specs.get(fingerprint)
        if spec is None:
            self._early[fingerprint] = version
            return
        spec.version = version
        if spec.state != "done":
            self._settle(spec, "done")

    def fail(self, worker_id: str, fingerprint: str, code: str, message: str) -> bool:
        """Note that a spec could not be learned; whether it is given up for good."""
        spec = self._specs.get(fingerprint)
        if spec is None or spec.worker != worker_id:
            return spec is not None and spec.state == "failed"
        if code == "cancelled" or spec.dropped:
            self._release(spec, "it is wanted again")
            return spec.state == "cancelled"
        retry = retry_of(code)
        spec.tries += not retry.place
        if retry.place or spec.tries <= retry.concepts:
            self._release(spec, f"it is tried again after {code}: {message}", at_end=True)
            return False
        spec.problem = f"{code}: {message}"
        self._settle(spec, "failed")
        return True

    def hand_back(self, worker_id: str, fingerprints: Collection[str]) -> None:
        """Take specs back that a living worker does not want to finish; they are handed out next, but a guess later."""
        for fingerprint in fingerprints:
            spec = self._specs.get(fingerprint)
            if spec is not None and spec.worker == worker_id:
                self._turns.let_others_go_first(spec, self._clock())
                self._release(spec, f"handed back by {worker_id}")

    def leave(self, worker_id: str, reason: str | None = None) -> None:
        """Let a worker go; with a reason, it is dying of what it had."""
        worker = self._workers.get(worker_id)
        if worker is not None and reason is not None:
            self._bury(worker, reason)
        elif worker is not None:
            self.hand_back(worker_id, sorted(worker.leases))
            self._part_with(worker)

    # Inside.

    def _hear(self, card: WorkerCard) -> KnownWorker:
        """Note that a worker lives."""
        self._expire()
        self.join(card)
        worker = self._workers[card.id] = self._workers.pop(card.id)
        worker.seen = self._clock() - self._asleep
        return worker

    def _part_with(self, worker: KnownWorker) -> None:
        card = worker.card
        self._workers.pop(card.id, None)
        if self._seats.get((card.crew, card.seat)) == card.id:
            del self._seats[card.crew, card.seat]

    def _running(self) -> dict[str, list[QueuedSpec]]:
        """The leased specs of each job."""
        running: dict[str, list[QueuedSpec]] = {}
        for worker in self._workers.values():
            for spec in map(self._specs.__getitem__, worker.leases):
                for job_id in spec.jobs:
                    running.setdefault(job_id, []).append(spec)
        return running

    def _new_spec(self, ref: SpecRef, job_id: str, target: str) -> QueuedSpec:
        spec = self._specs[ref.fingerprint] = QueuedSpec(ref, job_id, target)
        if ref.fingerprint in self._early:
            spec.state, spec.version = "done", self._early.pop(ref.fingerprint)
        self._counts[spec.state] += 1
        return spec

    def _forget(self, spec: QueuedSpec) -> None:
        self._counts[spec.state] -= 1
        del self._specs[spec.ref.fingerprint]

    def _note(self, kind: str, spec: QueuedSpec, text: str, deaths: tuple[Death, ...] = ()) -> None:
        jobs = tuple(sorted(spec.jobs))
        self._events.append(Event(kind, spec.ref.fingerprint, spec.ref.name, jobs, text, deaths))
        self._num_events += 1

    def _steer(self, spec: QueuedSpec, target: str, job: QueuedJob) -> None:
        """Bring a spec to where the store says that it stands."""
        if target == "cancelled":
            if len(spec.jobs) > 1:
                job.detach(spec)
            elif spec.state in ("waiting", "leased"):
                spec.dropped = True
                if spec.state == "waiting":
                    self._move(spec, "cancelled")
        elif target == "waiting" and spec.state in ("failed", "cancelled"):
            spec.absolve()
            self._move(spec, "waiting", at_end=True)
        elif target == "waiting":
            spec.dropped = False
        elif spec.state == "waiting":
            self._move(spec, target)

    def _reply(self, worker: KnownWorker) -> TakeReply:
        if worker.card.crew in self._dismissed:
            return TakeReply(dismissed=True)
        if self._clock() < self._hold_until:
            return TakeReply()
        alone = any(self._specs[fingerprint].is_for_one(self._max_deaths) for fingerprint in worker.leases)
        spec = None if alone else self._next(bool(worker.leases))
        if spec is None:
            return TakeReply(wait_s=len(self._workers) / ASKS_PER_S)
        self._lease(spec, worker)
        ref = spec.ref
        lease = Lease(ref.fingerprint, ref.name, spec.source, ref.sheet, ref.place)
        return TakeReply(lease, more=self._counts["waiting"] > PLENTY * len(self._workers))

    def _next(self, has_company: bool) -> QueuedSpec | None:
        """The next spec of the job whose turn it is: highest priority, then fewest leases, then oldest."""
        passed, spec = [], None
        for job in self._turns.in_order():
            passed.append(job)
            spec = job.pop(self._specs, self._max_deaths, to_company=has_company)
            if spec is not None:
                spec.leased_for = job.job_id
                job.leased += 1
                break
        for job in passed:
            self._turns.note(job)
        return spec

    def _lease(self, spec: QueuedSpec, worker: KnownWorker) -> None:
        self._move(spec, "leased")
        spec.worker, spec.report = worker.card.id, None
        worker.leases.add(spec.ref.fingerprint)
        worker.had_work = True
        self._failed_starts.clear()
        self._note("leased", spec, f"leased by {worker.card.id}")

    def _holds(self, worker: KnownWorker, fingerprint: str) -> bool:
        """Whether a lease is the worker's; one that nobody has becomes it."""
        spec = self._specs.get(fingerprint)
        if spec is None:
            return True  # this queue was restarted and has not been told of the job yet
        if spec.state == "waiting":
            self._lease(spec, worker)
        return spec.worker == worker.card.id

    def _move(self, spec: QueuedSpec, state: str, *, at_end: bool = False) -> None:
        for job_id in spec.jobs:
            if job_id in self._jobs:
                job = self._jobs[job_id]
                job.move(spec, state, at_end=at_end)
                self._turns.note(job)
        self._counts[spec.state] -= 1
        self._counts[state] += 1
        spec.state = state

    def _settle(self, spec: QueuedSpec, state: str) -> None:
        self._unlease(spec)
        self._move(spec, state)
        text = spec.problem or (f"version {spec.version}" if spec.version else "")
        self._note(state, spec, text, spec.deaths if state == "failed" else ())
        if not spec.jobs:
            self._forget(spec)

    def _release(self, spec: QueuedSpec, why: str, *, at_end: bool = False, died: bool = False) -> None:
        """Take a spec from its worker: it waits again, if anybody wants it."""
        if spec.dropped or not spec.jobs:
            self._settle(spec, "cancelled")
        else:
            self._unlease(spec)
            self._move(spec, "waiting", at_end=at_end)
            self._note("returned", spec, why, spec.deaths if died else ())

    def _unlease(self, spec: QueuedSpec) -> None:
        if spec.worker is not None and spec.worker in self._workers:
            self._workers[spec.worker].leases.discard(spec.ref.fingerprint)
        if spec.leased_for is not None and spec.leased_for in self._jobs:
            job = self._jobs[spec.leased_for]
            job.leased -= 1
            self._turns.note(job)
        spec.passes = spec.report.sample_passes if spec.report else spec.passes
        spec.worker = spec.leased_for = None

    def _bury(self, worker: KnownWorker, reason: str) -> None:
        card = worker.card
        self._deaths += 1
        for fingerprint in sorted(worker.leases):  # one order, so that what chance does can be repeated
            spec = self._specs[fingerprint]
            step = spec.report.step if spec.report else 0
            spec.deaths += (Death(card.id, card.node, card.pid, step, reason, len(worker.leases)),)
            if len(spec.deaths) >= self._max_deaths:
                self._set_aside(spec)
            else:
                self._release(spec, f"{card.id} died: {reason}", died=True)
        if not worker.had_work:
            self._failed_starts.append(reason)
        self._part_with(worker)

    def _set_aside(self, spec: QueuedSpec) -> None:
        number, last = len(spec.deaths), spec.deaths[-1].reason
        spec.problem = f"poisoned: {number} workers died while they had it; the last: {last}"
        self._settle(spec, "failed")

    def _expire(self) -> None:
        """Bury silent workers; time in which this queue itself did nothing does not count as silence."""
        now = self._clock()
        self._asleep += max(0.0, now - self._looked - self._lease_s / 2)
        self._looked, awake = now, now - self._asleep
        while self._workers and awake - (worker := next(iter(self._workers.values()))).seen > self._lease_s:
            self._expiries += 1
            self._bury(worker, f"it was silent for {awake - worker.seen:.0f} s")
