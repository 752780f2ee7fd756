"""The ways in: `train_pack` for whatever hands out work, `learn` for a list of it with results in memory.

Owns how many slots a pack has, by what is asked for, and the plainest source and sink. Does not know how concepts are
learned (`pack`), nor queues or registries.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

from textinv.errors import TextinvError
from textinv.models.base import BaseModel
from textinv.training.capacity import choose_capacity
from textinv.training.memory import Memory, unmeasured_room
from textinv.training.pack import Training
from textinv.training.work import Progress, Scorer, TrainedConcept, TrainingSink, Work, WorkSource


def never() -> bool:
    """Never drain."""
    return False


def train_pack(
    model: BaseModel,
    source: WorkSource,
    sink: TrainingSink,
    *,
    num_slots: int | Literal["auto"] = "auto",
    should_drain: Callable[[], bool] = never,
    checkpoint_every_s: float = 30.0,
    scorer: Scorer | None = None,
) -> None:
    """Learn everything that `source` hands out, `num_slots` concepts at a time, and tell `sink` what happens.

    `auto`: the fewest that fill a forward with which the device is fast, measured at the resolution of the first work,
    and again where a pack of another resolution begins. How many samples a forward has does not change what is learned.
    A `scorer` scores every learned concept; what it says goes into the record as `evaluation`. Returns when the source
    has finished, or, after a checkpoint of every slot, when `should_drain` says so.
    """
    memory = Memory(partial(choose_capacity, model, num_slots), unmeasured_room(model))
    Training(model, source, sink, memory, scorer).run(should_drain, checkpoint_every_s)


class WorkList:
    """Work from a list, in order."""

    def __init__(self, works: Iterable[Work]) -> None:
        self._works = list(works)

    def take(self) -> Work | None:
        """The next work."""
        return self._works.pop(0) if self._works else None

    @property
    def finished(self) -> bool:
        """Whether the list is used up."""
        return not self._works


class Collected:
    """Keeps what it hears, by the concepts' names; `on_progress` hears each progress first and may raise."""

    def __init__(self, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._on_progress = on_progress
        self.slots: dict[str, int] = {}
        self.progresses: list[Progress] = []
        self.checkpoints: dict[str, bytes] = {}
        self.concepts: dict[str, TrainedConcept] = {}
        self.errors: dict[str, TextinvError] = {}
        self.records: dict[str, dict[str, Any]] = {}

    def started(self, work: Work, slot: int) -> None:
        """Keep the slot."""
        self.slots[work.spec.name] = slot

    def progress(self, work: Work, progress: Progress) -> None:
        """Keep the progress and pass it on."""
        self.progresses.append(progress)
        if self._on_progress is not None:
            self._on_progress(progress)

    def checkpoint(self, work: Work, data: bytes) -> None:
        """Keep the latest checkpoint."""
        self.checkpoints[work.spec.name] = data

    def finished(self, work: Work, concept: TrainedConcept) -> None:
        """Keep the concept."""
        self.concepts[work.spec.name] = concept
        self.records[work.spec.name] = concept.record

    def failed(self, work: Work, error: TextinvError, record: dict[str, Any]) -> None:
        """Keep the error."""
        self.errors[work.spec.name] = error
        self.records[work.spec.name] = record


def learn(
    model: BaseModel,
    works: Iterable[Work],
    *,
    num_slots: int | Literal["auto"] = "auto",
    on_progress: Callable[[Progress], None] | None = None,
    scorer: Scorer | None = None,
) -> Collected:
    """Learn a list of concepts and keep what came of each."""
    collected = Collected(on_progress)
    train_pack(model, WorkList(works), collected, num_slots=num_slots, scorer=scorer)
    return collected
