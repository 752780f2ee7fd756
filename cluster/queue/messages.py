"""What the queue, its workers and its driver say to each other.

Owns these messages only. All of them are plain values that survive the way between processes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True)
class BaseModelRef:
    """A base model, which has a queue of its own in a fleet: where it is, and which revision specs were made for."""

    name: str
    revision: str | None
    base_revision: str

    def queue_name(self, fleet: str) -> str:
        """The name of its queue: a cluster may have several fleets, each working for a store of its own."""
        return f"queue-{fleet}-{self.base_revision[:24]}"


NO_SHEET = -1
"""Stands for the sheet of a guess, which is written down in an order of its own."""


class SpecRef(NamedTuple):
    """One spec of a job as the queue knows it: which it is, and where it is written down."""

    fingerprint: str
    name: str
    sheet: int
    place: int
    """On the sheet, from 0."""

    @property
    def is_guess(self) -> bool:
        """Whether it is no spec but a guess to train, which a worker does while it has nothing else."""
        return self.sheet == NO_SHEET


@dataclass(frozen=True, slots=True)
class WorkerCard:
    """A worker introduces itself. `seat` is its place in its crew, which a replacement takes over."""

    id: str
    crew: str
    seat: int
    node: str = ""
    pid: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A spec is this worker's until it ends, is handed back, or the worker falls silent."""

    fingerprint: str
    name: str
    job_id: str
    sheet: int
    place: int

    @property
    def is_guess(self) -> bool:
        """Whether it is a guess to train."""
        return self.sheet == NO_SHEET


@dataclass(frozen=True, slots=True)
class TakeReply:
    """What `take` says: a lease, or nothing for now, or that the worker may go."""

    lease: Lease | None = None
    dismissed: bool = False
    wait_s: float = 0.0
    """The worker shall not ask again sooner."""
    more: bool = False
    """So much waits that the worker may take a spec before it has room for it."""


@dataclass(frozen=True, slots=True)
class BeatReply:
    """What a heartbeat brings back: leases that the worker must drop, and whether it shall go."""

    cancelled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    dismissed: bool = False
    keep_rows: bool = False
    report_every_s: float = 0.0
    """The worker shall not speak of a concept's progress more often."""
    others_wait: bool = False
    """Whether there is work that nobody has."""


@dataclass(frozen=True, slots=True)
class StepReport:
    """How far a concept is."""

    step: int
    max_steps: int
    loss: float | None
    sample_passes: int
    elapsed_s: float
    state: str
    preview: int = 0
    """The step of the last preview picture in the store; 0 while there is none."""


@dataclass(frozen=True, slots=True)
class Death:
    """A worker died while it had a spec: the evidence against the spec."""

    worker: str
    node: str
    pid: int
    step: int
    reason: str
    held: int
    """How many specs the worker had."""

    def as_json(self) -> dict[str, Any]:
        """As it is kept in the store."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> "Death":
        """What `as_json` gave; more is ignored."""
        return cls(**{name: facts[name] for name in cls.__slots__})
