"""What the queue remembers of a spec and of a worker.

Owns these counters; small, as there may be a million specs. Does not decide anything.
"""

from dataclasses import dataclass, field

from cluster.queue.messages import Death, SpecRef, StepReport, TakeReply, WorkerCard


@dataclass(slots=True)
class QueuedSpec:
    """A spec: `waiting`, `leased`, `done`, `failed` or `cancelled`. `source` is the job whose sheets hold it."""

    ref: SpecRef
    source: str
    state: str = "waiting"
    jobs: frozenset[str] = frozenset()
    dropped: bool = False
    """No job wants it any more, though a worker may still have it."""
    worker: str | None = None
    leased_for: str | None = None
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

    def is_for_one(self, max_deaths: int) -> bool:
        """Whether a worker that has it takes nothing else: a suspect, or a guess."""
        return self.ref.is_guess or self.is_suspect(max_deaths)

    def absolve(self) -> None:
        """Begin anew."""
        self.tries, self.deaths, self.problem, self.dropped = 0, (), None, False


@dataclass(slots=True)
class KnownWorker:
    """A worker and what it has."""

    card: WorkerCard
    seen: float
    leases: set[str] = field(default_factory=set)
    request: int = -1
    had_work: bool = False
    trouble: str = ""
    """What is wrong with its place."""
    reply: TakeReply = field(default_factory=TakeReply)
