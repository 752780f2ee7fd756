"""Publishing: from a finished training to a version, exactly once per spec.

Owns the order of writes. Any process may die between any two of them, and any other may finish the work:

1. artifacts under a run id that nobody else uses;
2. the claim `done/<fingerprint>.json`, created once: it says which run won the spec and which number it takes;
3. the version, created once with the very bytes of the claim: now it exists;
4. the head: now it is current, unless its record says what holds it back; then the head is told of it alone.

When a number turns out to be taken by another spec, the claim moves to the next one before that is tried, so that
several processes that finish the same claim cannot make two versions of it.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from textinv.errors import ObjectNotFoundError, StoreConflictError
from textinv.registry.entries import Artifact, VersionEntry, family_of, held_by, parse_entry, pinned_by
from textinv.registry.heads import Contents, highest_number, is_removed, roll_forward
from textinv.registry.layout import (
    EMBEDDING_FILE,
    FORMAT,
    PINNED_FILE,
    RECORD_FILE,
    done_key,
    media_type_of,
    new_run_id,
    run_key,
    version_key,
)
from textinv.store.protocol import JSON, ObjectStore

if TYPE_CHECKING:
    from textinv.embedding import Embedding

_MAX_TRIES = 100


class Claim(NamedTuple):
    """What `done/<fingerprint>.json` says and the tag it was read at."""

    entry: VersionEntry
    etag: str


class Finished(NamedTuple):
    """A training's result, before it has a number."""

    name: str
    embedding: "Embedding"
    record: Mapping[str, Any]
    fingerprint: str
    base_model: str
    base_revision: str
    run_id: str
    files: Mapping[str, bytes]


def publish(store: ObjectStore, finished: Finished) -> VersionEntry:
    """Publish a result, or find the version of the run that was faster."""
    draft = _write_artifacts(store, finished)
    claim = _claim(store, draft)
    if claim.entry.run_id == draft.run_id:
        return complete(store, claim, contents_of(finished))
    store.delete([artifact.key for artifact in draft.artifacts.values()])
    return complete(store, claim)


def complete(store: ObjectStore, claim: Claim, contents: Contents | None = None) -> VersionEntry:
    """Carry a claim through to a version that the head has been told of; safe to do any number of times.

    `contents` saves reading the artifacts back.
    """
    entry = _commit(store, claim)
    roll_forward(store, entry, contents)
    return entry


def read_claim(store: ObjectStore, fingerprint: str) -> Claim | None:
    """Read the claim of a spec; None when nobody has finished it.

    Raises:
        CorruptObjectError: it cannot be read.
    """
    key = done_key(fingerprint)
    try:
        stored = store.get(key)
    except ObjectNotFoundError:
        return None
    return Claim(parse_entry(key, stored.body), stored.etag)


def record_bytes(record: Mapping[str, Any]) -> bytes:
    """Write a training record as JSON, the same bytes for the same record."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _write_artifacts(store: ObjectStore, finished: Finished) -> VersionEntry:
    bodies = dict(finished.files) | {
        EMBEDDING_FILE: finished.embedding.to_bytes(),
        RECORD_FILE: record_bytes(finished.record),
    }
    artifacts = {file: _put_artifact(store, finished.run_id, file, body) for file, body in sorted(bodies.items())}
    return VersionEntry(
        name=finished.name,
        version=highest_number(store, finished.name) + 1,
        run_id=finished.run_id,
        fingerprint=finished.fingerprint,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        base_model=finished.base_model,
        base_revision=finished.base_revision,
        digest=finished.embedding.digest,
        num_vectors=finished.embedding.num_vectors,
        widths=finished.embedding.widths,
        artifacts=artifacts,
        family=family_of(finished.record),
        held=held_by(finished.record),
        pinned=pinned_by(finished.record) if PINNED_FILE in artifacts else (),
        format=FORMAT,
    )


def _put_artifact(store: ObjectStore, run_id: str, file: str, body: bytes) -> Artifact:
    media_type = media_type_of(file)
    key = run_key(run_id, file)
    store.put(key, body, media_type)
    return Artifact(key=key, size_bytes=len(body), sha256=hashlib.sha256(body).hexdigest(), media_type=media_type)


def _claim(store: ObjectStore, draft: VersionEntry) -> Claim:
    key = done_key(draft.fingerprint)
    for _ in range(_MAX_TRIES):
        try:
            return Claim(draft, store.create(key, draft.body(), JSON))
        except StoreConflictError:
            claim = read_claim(store, draft.fingerprint)
        if claim is None:
            continue
        if not is_removed(store, claim.entry):
            return claim
        with suppress(StoreConflictError):
            return Claim(draft, store.swap(key, draft.body(), claim.etag, JSON))
    raise StoreConflictError(f"the claim on {draft.name} keeps disappearing; is it being removed over and over?")


def _commit(store: ObjectStore, claim: Claim) -> VersionEntry:
    for _ in range(_MAX_TRIES):
        entry = claim.entry
        try:
            store.create(version_key(entry.name, entry.version), entry.body(), JSON)
            return entry
        except StoreConflictError:
            claim = _renumber(store, claim)
    raise StoreConflictError(f"no free version number for {entry.name} after {_MAX_TRIES} tries")


def _renumber(store: ObjectStore, claim: Claim) -> Claim:
    entry = claim.entry
    number = max(entry.version, highest_number(store, entry.name)) + 1
    moved = entry.model_copy(update={"version": number})
    try:
        return Claim(moved, store.swap(done_key(entry.fingerprint), moved.body(), claim.etag, JSON))
    except StoreConflictError:
        current = read_claim(store, entry.fingerprint)
        if current is None:
            raise StoreConflictError(f"{entry.name} was removed while it was being published") from None
        return current


def new_finished(
    name: str,
    embedding: "Embedding",
    record: Mapping[str, Any],
    fingerprint: str,
    base: tuple[str, str],
    run_id: str | None,
    files: Mapping[str, bytes],
) -> Finished:
    """Collect a result; `base` is the base model and its revision."""
    return Finished(name, embedding, record, fingerprint, *base, run_id or new_run_id(), files)


def contents_of(finished: Finished) -> Contents:
    """What the head of a result carries."""
    return Contents(finished.embedding, dict(finished.record))
