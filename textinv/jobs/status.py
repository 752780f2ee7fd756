"""How far a job is, as people and programs are told of it.

Owns the JSON of a status. It is derived: losing one loses nothing.
"""

from typing import Literal

from pydantic import ValidationError

from textinv.jobs.record import JobRecord, Stored
from textinv.states import ended

JobState = Literal["waiting", "running", "done", "failed", "cancelled"]
ConceptState = Literal["waiting", "running", "done", "failed", "cancelled"]
ENDED = ended("job")


class ConceptStatus(Stored):
    """How far one concept is."""

    name: str
    fingerprint: str
    state: ConceptState
    step: int = 0
    max_steps: int = 0
    loss: float | None = None
    """On the concept's fixed batch."""
    sample_passes: int = 0
    elapsed_s: float = 0.0
    worker: str | None = None
    version: int | None = None
    problem: str | None = None
    """Why it failed."""
    stopped: str | None = None
    """Why it ended: as training records say it."""
    curve: tuple[tuple[int, float], ...] = ()
    """Looks at the fixed batch, (step, loss), thinned out; in small jobs only."""
    previews: tuple[int, ...] = ()
    """Steps of which there is a preview picture; in small jobs only."""


class JobStatus(Stored):
    """How far a job is; `concepts` names all of a small job, else those that run and that ended last."""

    job_id: str
    name: str
    generation: int
    state: JobState
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    workers: int = 0
    elapsed_s: float = 0.0
    """Since the driver took the job up."""
    concepts_per_hour: float | None = None
    eta_s: float | None = None
    updated: str = ""
    problem: str | None = None
    """Why the job as a whole cannot go on; of one that has not ended, what it waits for."""
    concepts: tuple[ConceptStatus, ...] = ()

    @classmethod
    def read(cls, body: bytes) -> "JobStatus | None":
        """Read a stored status; None if it is none."""
        try:
            return cls.model_validate_json(body)
        except ValidationError:
            return None

    @property
    def total(self) -> int:
        """All concepts of the job."""
        return self.waiting + self.running + self.done + self.failed + self.cancelled

    @property
    def ended(self) -> bool:
        """Whether nothing of the job is left to do."""
        return self.state in ENDED


def waiting_status(record: JobRecord) -> JobStatus:
    """The status of a job that nobody has taken up yet."""
    return JobStatus(
        job_id=record.id,
        name=record.name,
        generation=record.generation,
        state="waiting",
        waiting=record.num_concepts,
        updated=record.submitted,
    )


def state_of(waiting: int, running: int, done: int, failed: int, cancelled: int) -> JobState:
    """The state of a job from how many of its concepts are in which state."""
    if running or (waiting and done):
        return "running"
    if waiting:
        return "waiting"
    if failed:
        return "failed"
    return "cancelled" if cancelled else "done"


def has_ended(status: JobStatus | None, record: JobRecord) -> bool:
    """Whether a status says that this generation of a job is over."""
    return status is not None and status.generation >= record.generation and status.state in ENDED
