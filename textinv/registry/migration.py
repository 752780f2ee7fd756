"""Bringing the concepts of a store of format 1 to format 2.

In format 1 a concept had one head, whatever base model it was learned on, and a base model's revision was the hash of
its weights alone. Owns which objects are rewritten, in an order in which whatever is cut short is carried through by
doing all of it again. Nothing is lost where the new revision is not known: such versions keep the old one and can be
listed, shown, exported and removed, and be migrated later. Not for a store that others write to meanwhile. Does not
know base models, nor jobs: see `textinv.jobs.migration`.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pydantic import ValidationError

from textinv.errors import CorruptObjectError, ObjectNotFoundError, StoreConflictError
from textinv.registry.entries import Head, VersionEntry, family_of, parse_entry, parse_head
from textinv.registry.heads import head_for, load_artifact, load_contents
from textinv.registry.layout import DONE, FORMAT, HEADS, RECORD_FILE, VERSIONS, done_key, head_key, name_of, version_key
from textinv.spec import TrainSpec
from textinv.store.protocol import JSON, ObjectStore, side_by_side

Revisions = Mapping[str, str]
"""The new revisions of base models by their old ones."""


@dataclass
class Migrated:
    """What was rewritten, or would be; and which versions keep their old revision, as their base is not at hand."""

    versions: int = 0
    heads: int = 0
    jobs: int = 0
    kept: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)


def old_bases(store: ObjectStore) -> dict[str, set[str]]:
    """The base models that versions name, each with the revisions that they have of it."""
    found: dict[str, set[str]] = {}
    for entry in _entries(store, [info.key for info in store.list(VERSIONS)], []):
        found.setdefault(entry.base_model, set()).add(entry.base_revision)
    return found


def migrate_concepts(store: ObjectStore, revisions: Revisions, report: Migrated, *, dry_run: bool) -> None:
    """Rewrite versions, claims and heads; what cannot be read is named in the report and stays as it is."""
    move = Move(store, revisions)
    entries = _entries(store, [info.key for info in store.list(VERSIONS)], report.damaged)
    known = {entry.fingerprint for entry in entries}
    claims = [info.key for info in store.list(DONE) if name_of(info.key) not in known]
    unfinished = _entries(store, claims, report.damaged)
    by_name: dict[str, list[VersionEntry]] = {}
    for entry in entries:
        by_name.setdefault(entry.name, []).append(entry)
    for entry in unfinished:
        _move_claim(store, entry, move(entry), dry_run)
    heads = {name_of(info.key): info.key for info in store.list(HEADS)}
    for name in sorted(by_name.keys() | {stem for stem in heads if "@" not in stem}):
        _migrate_concept(store, name, by_name.get(name, []), move, report, dry_run)


def _migrate_concept(
    store: ObjectStore,
    name: str,
    entries: Sequence[VersionEntry],
    move: "Move",
    report: Migrated,
    dry_run: bool,
) -> None:
    moved = {entry.version: move(entry) for entry in entries}
    report.kept += [f"{name}@{one.version}" for one in entries if moved[one.version].of_weights_alone]
    old_key = f"{HEADS}{name}.json"
    left = {
        head_key(name, one.base_revision) for one in entries if moved[one.version].base_revision != one.base_revision
    }
    heads = _new_heads(store, [*left, old_key], moved, move, report)
    for entry in entries:
        _move_claim(store, entry, moved[entry.version], dry_run)
    report.heads += len(heads)
    if not dry_run:
        for head in heads:
            store.put(head_key(name, head.entry.base_revision), head.body(), JSON)
    for entry in entries:
        if moved[entry.version] != entry:
            report.versions += 1
            if not dry_run:
                store.put(version_key(name, entry.version), moved[entry.version].body(), JSON)
    if not dry_run:
        store.delete(key for key in (old_key, *left) if key not in report.damaged)


def _new_heads(
    store: ObjectStore,
    keys: Sequence[str],
    moved: Mapping[int, VersionEntry],
    move: "Move",
    report: Migrated,
) -> list[Head]:
    """The heads, one for each base model, that take the place of those at `keys`; the first of these know best."""
    found: dict[str, Head] = {}
    latest = 0
    for key in keys:
        try:
            old = parse_head(key, store.get(key).body)
        except ObjectNotFoundError:
            continue
        except CorruptObjectError:
            report.damaged.append(key)
            continue
        entry = moved.get(old.entry.version) or move(old.entry)
        found.setdefault(entry.base_revision, old.model_copy(update={"entry": entry}))
        latest = max(latest, old.latest)
    if not found or all(head.removed for head in found.values()):
        return list(found.values())
    for entry in sorted(moved.values(), key=lambda one: -one.version):
        if entry.base_revision not in found and not _exists(store, entry):
            found[entry.base_revision] = head_for(entry, load_contents(store, entry), None, max(latest, entry.version))
    return list(found.values())


def _exists(store: ObjectStore, entry: VersionEntry) -> bool:
    return store.exists(head_key(entry.name, entry.base_revision))


def _move_claim(store: ObjectStore, entry: VersionEntry, moved: VersionEntry, dry_run: bool) -> None:
    """Claim the new fingerprint and give the old one up: before the version itself, which says that this is to do."""
    if moved == entry or dry_run:
        return
    with suppress(StoreConflictError):  # already done
        store.create(done_key(moved.fingerprint), moved.body(), JSON)
    if moved.fingerprint != entry.fingerprint:
        store.delete([done_key(entry.fingerprint)])
    else:
        store.put(done_key(moved.fingerprint), moved.body(), JSON)


class Move(NamedTuple):
    """How versions are rewritten."""

    store: ObjectStore
    revisions: Revisions

    def __call__(self, entry: VersionEntry) -> VersionEntry:
        """The version as it is in format 2: itself, if it is that already or its base is not known."""
        new = self.revisions.get(entry.base_revision) if entry.of_weights_alone else None
        if new is None:
            return entry
        record = _record(self.store, entry)
        changes = {"base_revision": new, "fingerprint": _fingerprint(entry, record, new), "family": family_of(record)}
        return entry.model_copy(update={**changes, "format": FORMAT})


def _record(store: ObjectStore, entry: VersionEntry) -> Mapping[str, Any]:
    """The training record of a version; empty where it is lost."""
    try:
        found: dict[str, Any] = json.loads(load_artifact(store, entry, RECORD_FILE))
    except (CorruptObjectError, ValueError):
        return {}
    return found


def _fingerprint(entry: VersionEntry, record: Mapping[str, Any], new: str) -> str:
    """What the fingerprint of a version is with another revision of its base model, by what its record says of it."""
    before, after = (imported_fingerprint(entry.name, entry.digest, one) for one in (entry.base_revision, new))
    if entry.fingerprint == before:
        return after
    try:
        spec = TrainSpec.model_validate(record.get("spec"))
    except ValidationError:
        return entry.fingerprint
    before = spec.fingerprint
    after = spec.model_copy(update={"base_revision": new}).fingerprint
    known = {before: after, renamed_fingerprint(before, entry.name): renamed_fingerprint(after, entry.name)}
    return known.get(entry.fingerprint, entry.fingerprint)


def imported_fingerprint(name: str, digest: str, base_revision: str) -> str:
    """The fingerprint of an embedding that another program trained."""
    return hashlib.sha256(f"imported {name} {digest} {base_revision}".encode()).hexdigest()


def renamed_fingerprint(fingerprint: str, name: str) -> str:
    """The fingerprint of a version that was copied to another name."""
    return hashlib.sha256(f"{fingerprint} as {name}".encode()).hexdigest()


def _entries(store: ObjectStore, keys: Sequence[str], damaged: list[str]) -> list[VersionEntry]:
    def read(key: str) -> VersionEntry | None:
        try:
            return parse_entry(key, store.get(key).body)
        except CorruptObjectError:
            damaged.append(key)
            return None

    return [entry for entry in side_by_side(read, keys) if entry is not None]
