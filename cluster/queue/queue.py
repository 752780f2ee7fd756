"""The work queue: which spec is whose, for all jobs on one base model.

Owns leases, fairness between jobs, and what becomes of the specs of a dead worker. A plain class that is told the time
by its caller, so it can be tested and simulated; `queue_actor.py` puts it into a process. All operations may be
repeated: a caller that lost a reply asks again. Nothing here is durable: what is done is said by the registry, what
failed and who died with what by the job store, what is half done by checkpoints, and living workers report what they
have with every beat.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import islice

from cluster.queue.lease import Answer, Death, Entry, Lease, Orders, StepReport, WorkerCard
from cluster.queue.ledger import Item, JobLine, Member
from cluster.queue.retries import retry_of
from cluster.queue.turns import Turns
from cluster.queue.views import Event, QueueView, job_view, worker_view

LEASE_S = 30.0
"""A worker that is silent for so long is dead."""
MAX_DEATHS = 3
"""A spec that so many workers died with is set aside."""
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
        self._clock = clock
        self._hold_until = clock() + hold_s
        self._lease_s = lease_s
        self._max_deaths = max_deaths
        self._items: dict[str, Item] = {}
        self._lines: dict[str, JobLine] = {}
        self._turns = Turns(self._lines)
        self._members: dict[str, Member] = {}
        """Those that were silent longest come first."""
        self._seats: dict[tuple[str, int], str] = {}
        self._dismissed: set[str] = set()
        self._early: dict[str, int] = {}
        self._counts: Counter[str] = Counter()
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._num_events = 0
        self._failed_starts: list[str] = []
        self._expiries = self._deaths = 0
        self._repeated_passes = 0
        self._looked = clock()
        self._asleep = 0.0
        """Seconds in which this queue did nothing."""

    # What drivers say.

    def open_job(self, job_id: str, priority: int = 0, *, keep_rows: bool = False) -> None:
        """Make a line for a job, or change what holds for it; its specs come with `add`."""
        line = self._lines.setdefault(job_id, JobLine(job_id, self._clock()))
        line.priority, line.keep_rows = priority, keep_rows
        self._turns.note(line)

    def add(self, job_id: str, entries: Sequence[Entry], settled: Mapping[str, str] | None = None) -> frozenset[str]:
        """Add specs to a job, or say again how they stand: `settled` names those that are done, failed or cancelled.

        Returned are the cancelled ones that no worker has and no other job wants.
        """
        line, settled = self._lines[job_id], settled or {}
        dropped = set()
        for entry in entries:
            target = settled.get(entry.fingerprint, "waiting")
            item = self._items.get(entry.fingerprint)
            if item is None:
                item = self._new_item(entry, job_id, target)
            line.admit(item)
            self._steer(item, target, line)
            if item.state == "cancelled" and item.jobs == line.alone:
                dropped.add(entry.fingerprint)
        self._turns.note(line)
        return frozenset(dropped)

    def recall(self, deaths: Mapping[str, tuple[Death, ...]]) -> None:
        """Say who died with specs before this queue began; of what it has seen itself it knows more."""
        for fingerprint, those in deaths.items():
            item = self._items.get(fingerprint)
            if item is not None and item.state in ("waiting", "leased") and len(those) > len(item.deaths):
                item.deaths = those
                if item.state == "waiting" and len(those) >= self._max_deaths:
                    self._set_aside(item)

    def close_job(self, job_id: str) -> None:
        """Forget a job; specs that other jobs want, and those that a worker has, stay."""
        line = self._lines.pop(job_id, None)
        for fingerprint in line.members if line else ():
            item = self._items.get(fingerprint)
            if item is None:
                continue
            item.jobs -= {job_id}
            if not item.jobs and item.state != "leased":
                self._forget(item)

    def dismiss(self, crews: Iterable[str]) -> None:
        """Let the workers of these crews hand back what they have and go."""
        self._dismissed.update(crews)

    def bury_crew(self, crew: str) -> None:
        """Say that no worker of a crew lives any more."""
        for member in [member for member in self._members.values() if member.card.crew == crew]:
            self._bury(member, "its crew ended")

    def view(self, events_from: int = 0) -> QueueView:
        """Look at everything that a driver needs to know; events are given from a number on."""
        self._expire()
        now, running = self._clock(), self._running()
        awake = now - self._asleep
        fresh = max(0, min(self._num_events - events_from, len(self._events)))
        return QueueView(
            jobs=tuple(job_view(line, self._items, running, now) for line in self._lines.values()),
            workers=tuple(worker_view(member, self._items, awake) for member in self._members.values()),
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
        if card.id in self._members:
            return
        before = self._seats.get((card.crew, card.seat))
        if before is not None:
            self._bury(self._members[before], "its seat was taken by a replacement")
        self._seats[card.crew, card.seat] = card.id
        self._members[card.id] = Member(card, self._clock() - self._asleep)

    def take(self, card: WorkerCard, request: int) -> Answer:
        """Lease a spec; the same request of the same worker gets the same answer."""
        member = self._hear(card)
        if request != member.request:
            member.request, member.answer = request, self._answer(member)
        return member.answer

    def beat(self, card: WorkerCard, held: Collection[str]) -> Orders:
        """Renew a worker's leases and say which it must drop; an unknown worker is taken in with what it holds."""
        member = self._hear(card)
        lost = frozenset(fingerprint for fingerprint in held if not self._holds(member, fingerprint))
        mine = [self._items[fingerprint] for fingerprint in held if fingerprint in member.leases]
        unwanted = [item for item in mine if item.dropped]
        return Orders(
            cancelled=frozenset(item.entry.fingerprint for item in unwanted),
            lost=lost,
            dismissed=card.crew in self._dismissed,
            report_every_s=self._counts["leased"] / REPORTS_PER_S,
            keep_rows=any(self._lines[job].keep_rows for item in unwanted for job in item.jobs if job in self._lines),
        )

    def report(self, worker: str, fingerprint: str, report: StepReport) -> None:
        """Note how far a concept is."""
        item = self._items.get(fingerprint)
        if item is None or item.worker != worker:
            return
        if item.report is None and item.passes > report.sample_passes:
            repeated = item.passes - report.sample_passes
            self._repeated_passes += repeated
            self._note("resumed", item, f"at step {report.step}; {repeated} sample passes are made again")
        item.report = report

    def finish(self, worker: str, fingerprint: str, version: int) -> None:
        """Note that a spec was published, whoever says so."""
        item = self._items.get(fingerprint)
        if item is None:
            self._early[fingerprint] = version
            return
        item.version = version
        if item.state != "done":
            self._settle(item, "done")

    def fail(self, worker: str, fingerprint: str, code: str, message: str) -> bool:
        """Note that a spec could not be learned; whether it is given up for good."""
        item = self._items.get(fingerprint)
        if item is None or item.worker != worker:
            return item is not None and item.state == "failed"
        if code == "cancelled" or item.dropped:
            self._release(item, "it is wanted again")
            return item.state == "cancelled"
        item.tries += 1
        if item.tries <= retry_of(code).concepts:
            self._release(item, f"it is tried again after {code}: {message}", at_end=True)
            return False
        item.problem = f"{code}: {message}"
        self._settle(item, "failed")
        return True

    def hand_back(self, worker: str, fingerprints: Collection[str]) -> None:
        """Take specs back that a living worker does not want to finish; they are handed out next."""
        for fingerprint in fingerprints:
            item = self._items.get(fingerprint)
            if item is not None and item.worker == worker:
                self._release(item, f"handed back by {worker}")

    def leave(self, worker: str, reason: str | None = None) -> None:
        """Let a worker go; with a reason, it is dying of what it had."""
        member = self._members.get(worker)
        if member is None:
            return
        if reason is not None:
            self._bury(member, reason)
            return
        self.hand_back(worker, tuple(member.leases))
        self._part_with(member)

    # Inside.

    def _hear(self, card: WorkerCard) -> Member:
        """Note that a worker lives."""
        self._expire()
        self.join(card)
        member = self._members[card.id] = self._members.pop(card.id)
        member.seen = self._clock() - self._asleep
        return member

    def _part_with(self, member: Member) -> None:
        card = member.card
        self._members.pop(card.id, None)
        if self._seats.get((card.crew, card.seat)) == card.id:
            del self._seats[card.crew, card.seat]

    def _running(self) -> dict[str, list[Item]]:
        """The leased specs of each job."""
        running: dict[str, list[Item]] = {}
        for member in self._members.values():
            for item in map(self._items.__getitem__, member.leases):
                for job_id in item.jobs:
                    running.setdefault(job_id, []).append(item)
        return running

    def _new_item(self, entry: Entry, job_id: str, target: str) -> Item:
        item = self._items[entry.fingerprint] = Item(entry, job_id, target)
        if entry.fingerprint in self._early:
            item.state, item.version = "done", self._early.pop(entry.fingerprint)
        self._counts[item.state] += 1
        return item

    def _forget(self, item: Item) -> None:
        self._counts[item.state] -= 1
        del self._items[item.entry.fingerprint]

    def _note(self, kind: str, item: Item, text: str, deaths: tuple[Death, ...] = ()) -> None:
        entry = item.entry
        self._events.append(Event(kind, entry.fingerprint, entry.name, tuple(sorted(item.jobs)), text, deaths))
        self._num_events += 1

    def _steer(self, item: Item, target: str, line: JobLine) -> None:
        """Bring a spec to where the store says that it stands."""
        if target == "cancelled":
            if len(item.jobs) > 1:
                line.detach(item)
            elif item.state in ("waiting", "leased"):
                item.dropped = True
                if item.state == "waiting":
                    self._move(item, "cancelled")
        elif target == "waiting" and item.state in ("failed", "cancelled"):
            item.absolve()
            self._move(item, "waiting", at_end=True)
        elif target == "waiting":
            item.dropped = False
        elif item.state == "waiting":
            self._move(item, target)

    def _answer(self, member: Member) -> Answer:
        if member.card.crew in self._dismissed:
            return Answer(dismissed=True)
        if self._clock() < self._hold_until:
            return Answer()
        alone = any(self._items[fingerprint].is_suspect(self._max_deaths) for fingerprint in member.leases)
        item = None if alone else self._next(bool(member.leases))
        if item is None:
            return Answer(wait_s=len(self._members) / ASKS_PER_S)
        self._lease(item, member)
        entry = item.entry
        return Answer(Lease(entry.fingerprint, entry.name, item.source, entry.sheet, entry.line))

    def _next(self, has_company: bool) -> Item | None:
        """The next spec of the line whose turn it is: highest priority, then fewest leases, then oldest."""
        passed, item = [], None
        for line in self._turns.in_order():
            passed.append(line)
            item = line.pop(self._items, self._max_deaths, to_company=has_company)
            if item is not None:
                item.line = line.job_id
                line.leased += 1
                break
        for line in passed:
            self._turns.note(line)
        return item

    def _lease(self, item: Item, member: Member) -> None:
        self._move(item, "leased")
        item.worker, item.report = member.card.id, None
        member.leases.add(item.entry.fingerprint)
        member.had_work = True
        self._failed_starts.clear()
        self._note("leased", item, f"leased by {member.card.id}")

    def _holds(self, member: Member, fingerprint: str) -> bool:
        """Whether a lease is the worker's; one that nobody has becomes it."""
        item = self._items.get(fingerprint)
        if item is None:
            return True  # this queue was restarted and has not been told of the job yet
        if item.state == "waiting":
            self._lease(item, member)
        return item.worker == member.card.id

    def _move(self, item: Item, state: str, *, at_end: bool = False) -> None:
        for job_id in item.jobs:
            if job_id in self._lines:
                line = self._lines[job_id]
                line.move(item, state, at_end=at_end)
                self._turns.note(line)
        self._counts[item.state] -= 1
        self._counts[state] += 1
        item.state = state

    def _settle(self, item: Item, state: str) -> None:
        self._unlease(item)
        self._move(item, state)
        text = item.problem or (f"version {item.version}" if item.version else "")
        self._note(state, item, text, item.deaths if state == "failed" else ())
        if not item.jobs:
            self._forget(item)

    def _release(self, item: Item, why: str, *, at_end: bool = False, died: bool = False) -> None:
        """Take a spec from its worker: it waits again, if anybody wants it."""
        if item.dropped or not item.jobs:
            self._settle(item, "cancelled")
        else:
            self._unlease(item)
            self._move(item, "waiting", at_end=at_end)
            self._note("returned", item, why, item.deaths if died else ())

    def _unlease(self, item: Item) -> None:
        if item.worker is not None and item.worker in self._members:
            self._members[item.worker].leases.discard(item.entry.fingerprint)
        if item.line is not None and item.line in self._lines:
            line = self._lines[item.line]
            line.leased -= 1
            self._turns.note(line)
        item.passes = item.report.sample_passes if item.report else item.passes
        item.worker = item.line = None

    def _bury(self, member: Member, reason: str) -> None:
        card = member.card
        self._deaths += 1
        for fingerprint in tuple(member.leases):
            item = self._items[fingerprint]
            step = item.report.step if item.report else 0
            item.deaths += (Death(card.id, card.node, card.pid, step, reason, len(member.leases)),)
            if len(item.deaths) >= self._max_deaths:
                self._set_aside(item)
            else:
                self._release(item, f"{card.id} died: {reason}", died=True)
        if not member.had_work:
            self._failed_starts.append(reason)
        self._part_with(member)

    def _set_aside(self, item: Item) -> None:
        last = item.deaths[-1].reason
        item.problem = f"poisoned: {len(item.deaths)} workers died while they had it; the last: {last}"
        self._settle(item, "failed")

    def _expire(self) -> None:
        """Bury silent workers; time in which this queue itself did nothing does not count as silence."""
        now = self._clock()
        self._asleep += max(0.0, now - self._looked - self._lease_s / 2)
        self._looked, awake = now, now - self._asleep
        while self._members and awake - (member := next(iter(self._members.values()))).seen > self._lease_s:
            self._expiries += 1
            self._bury(member, f"it was silent for {awake - member.seen:.0f} s")
