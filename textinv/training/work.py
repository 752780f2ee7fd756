"""What goes into a pack and what comes out: the seam between training and whoever hands out the work.

Owns the types of that seam. A `WorkSource` may be a list, a queue in an object store, or a cluster's lease; a
`TrainingSink` may be a folder, a registry or a progress bar. Training knows neither.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from textinv.embedding import Embedding
from textinv.errors import TextinvError
from textinv.images import Picture
from textinv.models.base import BaseModel
from textinv.spec import TrainSpec

IN_TRAINING = "training"
"""The state of a concept that goes on; any other is the reason for which it stopped."""


@dataclass(frozen=True)
class Work:
    """One spec to learn, its pictures in the spec's order, and where it was left off, if it was begun before."""

    spec: TrainSpec
    pictures: Sequence[Picture]
    checkpoint: bytes | None = None
    work_id: str = ""
    start: "Start | None" = None
    """Where the spec holds only a digest of what its rows start from: these rows."""


@dataclass(frozen=True)
class Start:
    """First rows that come from somewhere else than words."""

    label: str
    """What a record says of where they come from."""
    rows: Callable[[BaseModel], Embedding]
    """Asked once, when a slot is opened at its beginning; what it raises ends that concept."""


class WorkSource(Protocol):
    """Hands out work."""

    def take(self) -> Work | None:
        """The next work, or None when there is none now."""
        ...

    @property
    def finished(self) -> bool:
        """Whether nothing will come any more."""
        ...


@dataclass(frozen=True)
class Progress:
    """How far one concept is."""

    name: str
    step: int
    max_steps: int
    loss: float
    """On the concept's fixed batch, which is comparable between steps."""
    sample_passes: int
    elapsed_s: float
    state: str
    embedding: Embedding | None = None
    """The rows as they are, whenever `preview_every` more steps were taken."""


@dataclass(frozen=True)
class TrainedConcept:
    """A learned embedding and the plain-JSON record of how it came to be."""

    spec: TrainSpec
    embedding: Embedding
    record: dict[str, Any]


Scorer = Callable[[TrainSpec, Sequence[Picture], Embedding, str], dict[str, Any]]
"""Scores a learned concept against its training pictures, as plain JSON; the last value is what it started from."""


class TrainingSink(Protocol):
    """Hears what happens to every concept. `progress` may raise CancelledError, which ends that concept alone."""

    def started(self, work: Work, slot: int) -> None:
        """A slot took the work."""
        ...

    def progress(self, work: Work, progress: Progress) -> None:
        """The fixed batch was evaluated."""
        ...

    def checkpoint(self, work: Work, data: bytes) -> None:
        """The work can be resumed from `data`: keep it in place of earlier ones."""
        ...

    def finished(self, work: Work, concept: TrainedConcept) -> None:
        """The concept was learned."""
        ...

    def failed(self, work: Work, error: TextinvError, record: dict[str, Any]) -> None:
        """The concept could not be learned; the record holds its trace."""
        ...
