"""Bringing a store of format 1 to format 2: its concepts, then its jobs, then what `format.json` says.

In format 1 failures and deaths were keyed by fingerprint alone. Owns the order, and which objects of jobs follow when
the fingerprints of their specs change with the revision of their base model: a job's sheets come last, as they say what
is to be done. Safe to cut short and to do again. Does not know base models: their new revisions are told.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from textinv.errors import CorruptObjectError, NewerProgramError, ObjectNotFoundError
from textinv.jobs.job_store import JobStore
from textinv.jobs.layout import (
    DEATHS,
    FAILURES,
    checkpoint_key,
    deaths_key,
    failure_key,
    fingerprint_of,
    job_key,
    spec_sheet_key,
)
from textinv.jobs.previews import drop_previews, preview_steps, read_preview, write_preview
from textinv.jobs.record import Failure, JobRecord, spec_sheets_of
from textinv.registry import Registry
from textinv.registry.migration import Migrated, Revisions, migrate_concepts, old_bases
from textinv.spec import TrainSpec
from textinv.store.protocol import JSON, ObjectStore


def bases_of(store: ObjectStore) -> dict[str, set[str]]:
    """The base models that versions and jobs name, each with the revisions that they have of it."""
    found = old_bases(store)
    for record in JobStore(store).jobs():
        found.setdefault(record.base_model, set()).add(record.base_revision)
    return found


def migrate(store: ObjectStore, revisions: Revisions, *, dry_run: bool = False) -> Migrated:
    """Bring a store to this program's format; `revisions` are new revisions of base models by their old ones.

    Raises:
        StoreError: the store is of a newer format, or failed: do it again.
    """
    registry, report = Registry(store), Migrated()
    registry.begin_migration(dry_run=dry_run)
    migrate_concepts(store, revisions, report, dry_run=dry_run)
    job_store = JobStore(store)
    for record in job_store.jobs():
        try:
            _migrate_job(job_store, record, revisions, report, dry_run)
        except (CorruptObjectError, NewerProgramError, ObjectNotFoundError):
            report.damaged.append(job_key(record.id))
    if not dry_run:
        store.delete(list(_old_misfortune(store)))
        registry.end_migration()
    return report


def _migrate_job(job_store: JobStore, record: JobRecord, revisions: Revisions, report: Migrated, dry_run: bool) -> None:
    store = job_store.store
    specs = list(job_store.specs(record))
    moved = [spec.model_copy(update={"base_revision": _new(spec.base_revision, revisions)}) for spec in specs]
    fingerprints = {old.fingerprint: new.fingerprint for old, new in zip(specs, moved, strict=True)}
    changes = {"base_revision": _new(record.base_revision, revisions), "revision": record.revision}
    if record.revision is not None:
        changes["revision"] = _new(record.revision, revisions)
    changed = record.model_copy(update=changes)
    report.jobs += changed != record or moved != specs
    if dry_run:
        return
    _move_misfortune(store, record.id, fingerprints)
    for old, new in fingerprints.items():
        if old != new:
            _move_checkpoint(store, old, new)
            _move_previews(store, old, new)
    if moved != specs:
        _rename_in_status(job_store, record.id, fingerprints)
        _write_sheets(store, record.id, moved)
    if changed != record:
        store.put(job_key(record.id), changed.body(), JSON)


def _new(revision: str, revisions: Revisions) -> str:
    return revisions.get(revision, revision)


def _write_sheets(store: ObjectStore, job_id: str, specs: list[TrainSpec]) -> None:
    for number, body in enumerate(spec_sheets_of(specs)):
        store.put(spec_sheet_key(job_id, number), body)


def _move_misfortune(store: ObjectStore, job_id: str, fingerprints: Mapping[str, str]) -> None:
    """Copy what format 1 knows of a job's failures and deaths to where they are kept by job."""
    for old, new in fingerprints.items():
        for source, target in (
            (f"{FAILURES}{old}.json", failure_key(job_id, new)),
            (failure_key(job_id, old), failure_key(job_id, new)),
            (f"{DEATHS}{old}.json", deaths_key(job_id, new)),
            (deaths_key(job_id, old), deaths_key(job_id, new)),
        ):
            body = _read(store, source) if source != target else None
            if body is not None:
                store.put(target, _renamed(body, new) if source.startswith(FAILURES) else body, JSON)
                if source.count("/") > 1:
                    store.delete([source])


def _renamed(body: bytes, fingerprint: str) -> bytes:
    return Failure.model_validate({**json.loads(body), "fingerprint": fingerprint}).body()


def _old_misfortune(store: ObjectStore) -> Iterable[str]:
    """Keys of failures and deaths of format 1."""
    for prefix in (FAILURES, DEATHS):
        yield from (info.key for info in store.list(prefix) if info.key == f"{prefix}{fingerprint_of(info.key)}.json")


def _move_checkpoint(store: ObjectStore, old: str, new: str) -> None:
    from textinv.training.checkpoint import Checkpoint  # torch: only here

    body = _read(store, checkpoint_key(old))
    if body is None:
        return
    try:
        moved = replace(Checkpoint.from_bytes(body), fingerprint=new)
    except CorruptObjectError:
        return  # its concept begins anew
    store.put(checkpoint_key(new), moved.to_bytes())
    store.delete([checkpoint_key(old)])


def _move_previews(store: ObjectStore, old: str, new: str) -> None:
    for step in preview_steps(store, old):
        picture = read_preview(store, old, step)
        if picture is not None:
            write_preview(store, new, step, picture)
    drop_previews(store, old)


def _rename_in_status(job_store: JobStore, job_id: str, fingerprints: Mapping[str, str]) -> None:
    status = job_store.status(job_id)
    if status is not None:
        concepts = [
            one.model_copy(update={"fingerprint": fingerprints.get(one.fingerprint, one.fingerprint)})
            for one in status.concepts
        ]
        job_store.write_status(status.model_copy(update={"concepts": tuple(concepts)}))


def _read(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key).body
    except ObjectNotFoundError:
        return None
