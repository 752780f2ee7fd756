"""Which job is served next: of those that have specs to hand out, highest priority, then fewest leases, then oldest.

Owns each job's specs in order, and a heap of the jobs' turns. A turn that does not hold any more, as the job's number
of leases changed since, is left in the heap and passed over when it comes up; when most of the heap is such, it is made
anew. So every operation takes the logarithm of the number of jobs. Does not know workers.
"""

import heapq
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cluster.queue.state import QueuedSpec

RECENT = 32
"""So many of the specs that ended last are remembered by name."""
_SLACK = 64


@dataclass(slots=True)
class QueuedJob:
    """A job's specs in order. One that is in `waiting` but does not wait any more is passed over."""

    job_id: str
    opened: float
    priority: int = 0
    keep_rows: bool = False
    leased: int = 0
    members: dict[str, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    waiting: deque[str] = field(default_factory=deque)
    suspects: deque[str] = field(default_factory=deque)
    """Waiting specs that are for a worker which has nothing else."""
    listed: tuple[int, int, float] | None = None
    """The turn at which it is listed among those that have specs to hand out."""
    alone: frozenset[str] = field(init=False)
    """The jobs of a spec that no other job wants."""
    since: float = field(init=False)
    """Since when it waits for its turn: since it was opened, or let others go first."""
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Fingerprints that ended last."""
    done_before: int = 0
    """Specs that were done when they were added."""

    def __post_init__(self) -> None:
        self.alone, self.since = frozenset((self.job_id,)), self.opened

    @property
    def has_waiting(self) -> bool:
        """Whether there may be a spec to hand out."""
        return bool(self.waiting or self.suspects)

    def turn(self) -> tuple[int, int, float]:
        """The job with the least of these is served next."""
        return (-self.priority, self.leased, self.since)

    def admit(self, spec: QueuedSpec) -> None:
        """Take a spec into the job."""
        fingerprint = spec.ref.fingerprint
        if self.job_id in spec.jobs:
            return
        if fingerprint in self.members:
            self.counts["cancelled"] -= 1
        # Most specs have one job: those of a job share one set.
        spec.jobs = spec.jobs | {self.job_id} if spec.jobs else self.alone
        self.members[fingerprint] = None
        self.counts[spec.state] += 1
        self.done_before += spec.state == "done"
        if spec.state == "waiting":
            self.waiting.append(fingerprint)

    def detach(self, spec: QueuedSpec) -> None:
        """Count a spec as cancelled here, while other jobs go on with it."""
        spec.jobs -= {self.job_id}
        self.counts[spec.state] -= 1
        self.counts["cancelled"] += 1

    def move(self, spec: QueuedSpec, state: str, *, at_end: bool = False) -> None:
        """Count a spec that goes from its state to another."""
        fingerprint = spec.ref.fingerprint
        self.counts[spec.state] -= 1
        self.counts[state] += 1
        if state == "waiting":
            (self.waiting.append if at_end else self.waiting.appendleft)(fingerprint)
        elif state != "leased":
            self.recent.append(fingerprint)

    def pop(self, specs: Mapping[str, QueuedSpec], max_deaths: int, *, to_company: bool) -> QueuedSpec | None:
        """The next waiting spec; a suspect one is kept for a worker that has no company for it."""
        for part in (self.waiting,) if to_company else (self.suspects, self.waiting):
            while part:
                spec = specs.get(fingerprint := part.popleft())
                if spec is None or spec.state != "waiting" or self.job_id not in spec.jobs:
                    continue
                if not (to_company and spec.is_suspect(max_deaths)):
                    return spec
                self.suspects.append(fingerprint)
        return None


class FairShare:
    """The turns of `jobs`, which others add to and take from; `note` must hear of each change of a job."""

    def __init__(self, jobs: Mapping[str, QueuedJob]) -> None:
        self._jobs = jobs
        self._heap: list[tuple[tuple[int, int, float], str]] = []

    def note(self, job: QueuedJob) -> None:
        """Hear that a job has a spec to hand out, or that its turn changed."""
        turn = job.turn()
        if job.has_waiting and job.listed != turn:
            job.listed = turn
            heapq.heappush(self._heap, (turn, job.job_id))
            if len(self._heap) > 2 * len(self._jobs) + _SLACK:
                self._heap = [(job.listed, job_id) for job_id, job in self._jobs.items() if job.listed is not None]
                heapq.heapify(self._heap)

    def let_others_go_first(self, spec: QueuedSpec, now: float) -> None:
        """Put the jobs of a guess, which had its turn, behind those that have as few leases; of a spec, do nothing."""
        for job in (self._jobs[one] for one in spec.jobs if spec.ref.is_guess and one in self._jobs):
            job.since = now
            self.note(job)

    def in_order(self) -> Iterator[QueuedJob]:
        """The jobs that have specs to hand out, next first; each leaves the heap until it is noted again."""
        while self._heap:
            turn, job_id = heapq.heappop(self._heap)
            job = self._jobs.get(job_id)
            if job is not None and job.listed == turn:
                job.listed = None
                if job.has_waiting:
                    yield job
