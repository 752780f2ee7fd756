"""What the queue remembers: of each spec, of each job's line, of each worker.

Owns the counters and lines; small, as there may be a million specs. Does not decide anything.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from cluster.queue.lease import Answer, Death, Entry, StepReport, WorkerCard

RECENT = 32
"""So many of the specs that ended last are remembered by name."""


@dataclass(slots=True)
class Item:
    """A spec: `waiting`, `leased`, `done`, `failed` or `cancelled`. `source` is the job whose sheets hold it."""

    entry: Entry
    source: str
    state: str = "waiting"
    jobs: frozenset[str] = frozenset()
    dropped: bool = False
    """No job wants it any more, though a worker may still have it."""
    worker: str | None = None
    line: str | None = None
    """The job on whose account it is leased."""
    tries: int = 0
    deaths: tuple[Death, ...] = ()
    report: StepReport | None = None
    passes: int = 0
    """Sample passes that were heard of from the worker before this one."""
    version: int | None = None
    problem: str | None = None

    def is_suspect(self, max_deaths: int) -> bool:
        """Whether one more death would be the last: such a spec is trained alone, so that only the guilty is blamed."""
        return len(self.deaths) == max_deaths - 1

    def absolve(self) -> None:
        """Begin anew."""
        self.tries, self.deaths, self.problem, self.dropped = 0, (), None, False


@dataclass(slots=True)
class JobLine:
    """A job's specs in order. A spec that is in the line but does not wait any more is passed over."""

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
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Fingerprints that ended last."""
    done_before: int = 0
    """Specs that were done when they were added."""

    def __post_init__(self) -> None:
        self.alone = frozenset((self.job_id,))

    @property
    def has_waiting(self) -> bool:
        """Whether there may be a spec to hand out."""
        return bool(self.waiting or self.suspects)

    def turn(self) -> tuple[int, int, float]:
        """The line with the least of these is served next."""
        return (-self.priority, self.leased, self.opened)

    def admit(self, item: Item) -> None:
        """Take a spec into the job."""
        fingerprint = item.entry.fingerprint
        if self.job_id in item.jobs:
            return
        if fingerprint in self.members:
            self.counts["cancelled"] -= 1
        # Most specs have one job: those of a job share one set.
        item.jobs = item.jobs | {self.job_id} if item.jobs else self.alone
        self.members[fingerprint] = None
        self.counts[item.state] += 1
        self.done_before += item.state == "done"
        if item.state == "waiting":
            self.waiting.append(fingerprint)

    def detach(self, item: Item) -> None:
        """Count a spec as cancelled here, while other jobs go on with it."""
        item.jobs -= {self.job_id}
        self.counts[item.state] -= 1
        self.counts["cancelled"] += 1

    def move(self, item: Item, state: str, *, at_end: bool = False) -> None:
        """Count a spec that goes from its state to another."""
        fingerprint = item.entry.fingerprint
        self.counts[item.state] -= 1
        self.counts[state] += 1
        if state == "waiting":
            (self.waiting.append if at_end else self.waiting.appendleft)(fingerprint)
        elif state != "leased":
            self.recent.append(fingerprint)

    def pop(self, items: Mapping[str, Item], max_deaths: int, *, to_company: bool) -> Item | None:
        """The next waiting spec; a suspect one is kept for a worker that has no company for it."""
        for part in (self.waiting,) if to_company else (self.suspects, self.waiting):
            while part:
                item = items.get(fingerprint := part.popleft())
                if item is None or item.state != "waiting" or self.job_id not in item.jobs:
                    continue
                if not (to_company and item.is_suspect(max_deaths)):
                    return item
                self.suspects.append(fingerprint)
        return None


@dataclass(slots=True)
class Member:
    """A worker and what it has."""

    card: WorkerCard
    seen: float
    leases: set[str] = field(default_factory=set)
    request: int = -1
    had_work: bool = False
    answer: Answer = field(default_factory=Answer)
