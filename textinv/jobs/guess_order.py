"""A job that trains a guess: what is asked for, in the place of specs.

Owns the JSON of the order, and whether it is done: that is said by the published guesses alone, so that one that was
removed can be trained again. Does not know how a guess is trained, nor who does.
"""

import hashlib

from pydantic import ValidationError

from textinv.errors import CorruptObjectError, in_a_line
from textinv.jobs.layout import order_key
from textinv.jobs.record import Failure, Stored
from textinv.jobs.status import ConceptStatus, JobStatus
from textinv.store.protocol import JSON, ObjectStore

NAME = "guess"
"""What stands where other jobs have the names of concepts."""


class GuessOrder(Stored):
    """A guess to train: the same order is the same work."""

    base_model: str
    base_revision: str
    steps: int
    seed: int
    shares: tuple[str, ...]
    """Ids of all shared concepts that it is trained and measured on, whatever is shared later."""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what is asked for, hex; a field that is added later changes none as long as it is not used."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


def write_order(store: ObjectStore, job_id: str, order: GuessOrder) -> None:
    """Write down what a job is asked for."""
    store.put(order_key(job_id), order.body(), JSON)


def read_order(store: ObjectStore, job_id: str) -> GuessOrder:
    """What a job that trains a guess is asked for.

    Raises:
        ObjectNotFoundError: it trains none.
        CorruptObjectError: it cannot be read.
    """
    key = order_key(job_id)
    try:
        return GuessOrder.model_validate_json(store.get(key).body)
    except ValidationError as error:
        raise CorruptObjectError(
            f"{key} is not an order of a guess ({in_a_line(error)}): train it again, `textinv guess train`", key=key
        ) from error


def trained_guess(store: ObjectStore, order: GuessOrder) -> str | None:
    """The digest of the guess that an order has become; None while it has not, or that was removed."""
    from textinv.registry.guesses import published_by  # numpy and all: lists of jobs do without

    return published_by(store, order.base_revision, order.fingerprint)


def guess_status(order: GuessOrder, status: JobStatus, failure: Failure | None = None) -> ConceptStatus:
    """How far the guess of a job is, told as concepts are."""
    told = next(iter(status.concepts), None)
    one = told or ConceptStatus(
        name=NAME, fingerprint=order.fingerprint, state=status.state, max_steps=order.steps, problem=status.problem
    )
    if failure is None or one.state in ("running", "done"):
        return one
    return one.model_copy(update={"state": "failed", "problem": f"{failure.code}: {failure.message}"})
