"""Submitting a plan: its pictures and its job record go into the store.

Owns the order: pictures and guesses first, so that a job that can be seen can be trained. Repeating any part is
harmless, and a submission that was cut short is completed by the next one. Does not start anything.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from textinv.errors import ImageError
from textinv.jobs.job_store import JobStore
from textinv.jobs.layout import purged_key, spec_sheet_key
from textinv.jobs.record import JobRecord, job_id, now, spec_sheets_of
from textinv.jobs.sharing import Tenant, note_sharing
from textinv.plan import Plan
from textinv.plan.sources import Source
from textinv.registry.guesses import guess_key, put_guess, read_guess
from textinv.spec import image_key
from textinv.store.protocol import ObjectStore

if TYPE_CHECKING:
    from textinv.registry import Registry

_NUM_THREADS = 16


@dataclass(frozen=True)
class Submission:
    """A job and what submitting it did."""

    record: JobRecord
    uploaded: int
    """Pictures that the store did not have yet."""
    moved_heads: int
    """Concepts whose older version became current again."""


def submit_plan(
    plan: Plan,
    registry: "Registry",
    *,
    base_model: str,
    revision: str | None = None,
    fleet: str = "",
    priority: int = 0,
    gate: Literal["off", "warn", "on"] = "on",
    tenant: Tenant | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Submission:
    """Put a plan's job into the registry's store.

    `base_model` is where a worker finds it, `fleet` says whose drivers serve the job. The same plan is the same job:
    submitting it again resumes what of it is not done. Without a `tenant` nothing is said of what the guess may learn
    from. `progress` hears how many pictures are in place, of how many.

    Raises:
        ImageError: a picture changed or vanished since it was planned.
        StoreError: the store failed; trying again is safe.
    """
    store, job_store = registry.store, JobStore(registry.store)
    registry.check_format(write=True)
    store.delete([purged_key(id_of(plan))])  # first: its pictures are used again from now on
    uploaded = upload_pictures(_needed(plan), store, progress)
    if tenant is not None:
        note_sharing(store, plan, id_of(plan), tenant)
    for digest, source in plan.guesses.items():
        if not store.exists(guess_key(digest)):
            put_guess(store, read_guess(source.read(), source.name))
    moved = [planned for planned in plan.specs if planned.head_moves and planned.version is not None]
    for planned in moved:
        registry.move_head(planned.spec.name, planned.version or 0)
    sheets = spec_sheets_of([planned.spec for planned in plan.specs])
    record = _record(plan, base_model, revision, len(sheets)).model_copy(
        update={"fleet": fleet, "priority": priority, "gate": gate}
    )
    for number, body in enumerate(sheets):
        store.put(spec_sheet_key(record.id, number), body)
    job_store.forget_misfortune(record)
    is_done = all(planned.state == "done" for planned in plan.specs)
    return Submission(job_store.open(record, is_done=is_done), uploaded, len(moved))


def id_of(plan: Plan) -> str:
    """The id of the job that submitting a plan makes."""
    return job_id(plan.name, ((planned.spec.name, planned.fingerprint) for planned in plan.specs))


def upload_pictures(
    pictures: Mapping[str, Source], store: ObjectStore, progress: Callable[[int, int], None] | None = None
) -> int:
    """Upload pictures that the store does not have; how many these were."""

    def upload(digest: str, source: Source) -> bool:
        if source.stored or store.exists(image_key(digest)):
            return False
        body = source.read()
        if hashlib.sha256(body).hexdigest() != digest:
            raise ImageError(f"{source.name} changed after it was planned: submit again", file=source.name)
        store.put(image_key(digest), body)
        return True

    uploaded = 0
    with ThreadPoolExecutor(_NUM_THREADS) as threads:
        for count, fresh in enumerate(threads.map(upload, pictures, pictures.values()), 1):
            uploaded += fresh
            if progress is not None:
                progress(count, len(pictures))
    return uploaded


def _needed(plan: Plan) -> dict[str, Source]:
    """The pictures of concepts that are not done, masks included."""
    refs = [ref for planned in plan.specs if planned.state != "done" for ref in planned.spec.pictures]
    digests = {digest for ref in refs for digest in (ref.digest, ref.mask_digest) if digest}
    return {digest: source for digest, source in plan.pictures.items() if digest in digests}


def _record(plan: Plan, base_model: str, revision: str | None, num_sheets: int) -> JobRecord:
    specs = [planned.spec for planned in plan.specs]
    return JobRecord(
        id=id_of(plan),
        name=plan.name,
        submitted=now(),
        base_model=base_model,
        revision=revision,
        base_revision=specs[0].base_revision,
        num_concepts=len(specs),
        num_sheets=num_sheets,
        name_prefix=_common_start([spec.name for spec in specs]),
    )


def _common_start(names: Sequence[str]) -> str:
    """What all names start with."""
    first, last = min(names), max(names)
    return next((first[:end] for end in range(len(first)) if not last.startswith(first[: end + 1])), first)
