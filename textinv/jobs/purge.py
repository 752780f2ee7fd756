"""Deleting the training pictures of a job, and what was drawn of them, on purpose and for good.

Owns who counts as a user of a picture: every job that was not purged itself, whether it is over or not, as it may be
resumed or its concepts be learned on another base model. What the last of them leaves goes with it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from textinv.errors import InputError, StoreConflictError
from textinv.jobs.job_store import JobStore
from textinv.jobs.layout import JOBS, purged_key
from textinv.jobs.previews import drop_previews
from textinv.jobs.record import JobRecord
from textinv.jobs.sharing import withdraw_purged
from textinv.registry import Registry
from textinv.spec import TrainSpec, image_key
from textinv.store.protocol import JSON, side_by_side


class Purged(NamedTuple):
    """What a purge did."""

    deleted: int
    """Pictures that are gone."""
    kept: int
    """Pictures of the job that others use."""
    users: tuple[str, ...]
    """Ids of these jobs."""


def purge(registry: Registry, job_id: str) -> Purged:
    """Delete the training pictures of a job that no other job uses, with the previews and the pictures beside versions
    that show them; no guess that learned from them is used any more. Of jobs that were purged before, what this one had
    kept goes too.

    Raises:
        UnknownConceptError: there is no such job.
        InputError: it has no pictures of its own.
        StoreConflictError: the job is not over.
    """
    store, job_store = registry.store, JobStore(registry.store)
    record = job_store.load(job_id)
    if record.kind == "guess":
        raise InputError(
            f"job {job_id} trains a guess from what others share and has no pictures of its own: purge the jobs that "
            "brought them, or take concepts back with `textinv concept share NAME --off`",
            job=job_id,
        )
    if job_id in job_store.open_jobs():
        raise StoreConflictError(f"job {job_id} has not ended: cancel it first, or wait until it ends")
    store.put(purged_key(job_id), b"{}", JSON)
    gone, users = _jobs(job_store)
    mine = _digests(job_store, record)
    pictures = {one.id: _digests(job_store, one) for one in users}
    used = set[str]().union(*pictures.values())
    doomed = set[str]().union(*(_digests(job_store, one) for one in gone)) - used
    # Before anything is deleted, so that no crash leaves a guess in use that learned from it.
    withdraw_purged(store, job_id, (spec for one in gone for spec in job_store.specs(one)), doomed)
    present = [
        digest
        for digest, there in zip(doomed, side_by_side(lambda one: store.exists(image_key(one)), doomed), strict=True)
        if there
    ]
    store.delete(map(image_key, present))
    for one in gone:
        _drop_drawn(registry, job_store, one, doomed)
    sharers = tuple(sorted(one for one, digests in pictures.items() if digests & mine))
    return Purged(len(present), len(mine & used), sharers)


def pictures_of(spec: TrainSpec) -> Iterator[str]:
    """Digests of a spec's pictures and masks."""
    return (digest for one in spec.pictures for digest in (one.digest, one.mask_digest) if digest)


def _jobs(job_store: JobStore) -> tuple[list[JobRecord], list[JobRecord]]:
    """The jobs that were purged, and all others."""
    keys = {info.key for info in job_store.store.list(JOBS)}
    ids = sorted(key.split("/")[1] for key in keys if key.endswith("/job.json"))
    records = list(side_by_side(job_store.load, ids))
    gone = [one for one in records if purged_key(one.id) in keys]
    return gone, [one for one in records if purged_key(one.id) not in keys]


def _digests(job_store: JobStore, record: JobRecord) -> set[str]:
    return {digest for spec in job_store.specs(record) for digest in pictures_of(spec)}


def _drop_drawn(registry: Registry, job_store: JobStore, record: JobRecord, doomed: set[str]) -> None:
    """Delete what was drawn of concepts with pictures that are gone."""
    for sheet in job_store.spec_sheets(record):
        fingerprints = [spec.fingerprint for spec in sheet if not doomed.isdisjoint(pictures_of(spec))]
        registry.purge_pictures(fingerprints)
        for fingerprint in fingerprints:
            drop_previews(job_store.store, fingerprint)
