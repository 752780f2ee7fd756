"""Submitting the training of a guess: what it learns from is settled, and its job is put into the store.

Owns which shared concepts these are, and that a fleet that trains such a guess already is not asked for another. Does
not start anything. Repeating any part is harmless.
"""

from typing import NamedTuple

from textinv.errors import ObjectNotFoundError
from textinv.jobs.guess_order import GuessOrder, read_order, trained_guess, write_order
from textinv.jobs.job_store import JobStore
from textinv.jobs.record import JobRecord, job_id, now
from textinv.registry import Registry
from textinv.registry.guesses import why_withdrawn

SEED = 27
_IDS = "guess-for-"
"""What the ids of such jobs begin with."""


class GuessSubmission(NamedTuple):
    """The job that trains a guess."""

    record: JobRecord
    order: GuessOrder
    is_new: bool = True
    """Whether it was submitted now: else it is one that is under way, or done."""
    digest: str | None = None
    """The guess that it has become before."""


def submit_guess(
    registry: Registry, base_model: str, base_revision: str, *, steps: int, fleet: str, priority: int = 0
) -> GuessSubmission:
    """Put the job that trains a base model's guess, from all that is shared, into the registry's store.

    One that the fleet trains already with as many steps is handed out as it is, whatever was shared since. The same
    shares and steps are the same job: submitting it again resumes it.

    Raises:
        InputError: too few concepts are shared.
        StoreError: the store failed; trying again is safe.
    """
    from textinv.guess.shared import learnable_shares  # diffusers and all: lists of jobs do without

    registry.check_format(write=True)
    store, job_store = registry.store, JobStore(registry.store)
    if (under_way := _under_way(job_store, base_model, base_revision, steps, fleet)) is not None:
        return under_way
    found = learnable_shares(store, base_model, base_revision)
    order = GuessOrder(
        base_model=base_model,
        base_revision=base_revision,
        steps=steps,
        seed=SEED,
        shares=tuple(sorted(one.id for one in found)),
    )
    record = _record(order, fleet, priority)
    write_order(store, record.id, order)
    digest = trained_guess(store, order)
    job_store.forget_misfortune(record)
    return GuessSubmission(job_store.open(record, is_done=digest is not None), order, digest is None, digest)


def _under_way(
    job_store: JobStore, base_model: str, base_revision: str, steps: int, fleet: str
) -> GuessSubmission | None:
    """What the fleet trains already, if it was not cancelled and all of it may be learned from."""
    for open_id in (one for one in job_store.open_jobs() if one.startswith(_IDS)):
        record = job_store.load(open_id)
        if record.kind != "guess" or record.fleet != fleet or job_store.cancellation(open_id) is not None:
            continue
        try:
            order = read_order(job_store.store, open_id)
        except ObjectNotFoundError:
            continue
        is_same = (order.base_model, order.base_revision, order.steps) == (base_model, base_revision, steps)
        if is_same and not why_withdrawn(job_store.store, base_revision, set(order.shares)):
            return GuessSubmission(record, order, False, trained_guess(job_store.store, order))
    return None


def _record(order: GuessOrder, fleet: str, priority: int) -> JobRecord:
    name = f"guess for {order.base_model}"
    return JobRecord(
        id=job_id(name, [(name, order.fingerprint)]),
        name=name,
        submitted=now(),
        fleet=fleet,
        priority=priority,
        base_model=order.base_model,
        base_revision=order.base_revision,
        num_concepts=1,
        num_sheets=0,
        kind="guess",
    )
