"""Finishing what was interrupted and removing what nothing names.

Owns the mark and sweep over runs, claims, left-overs of removed concepts and published pictures that were deleted on
purpose. Training pictures and what jobs keep are left alone: see `textinv.jobs.sweep`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from textinv.errors import CorruptObjectError
from textinv.registry.entries import VersionEntry
from textinv.registry.heads import read_head
from textinv.registry.layout import DONE, PROBES, PURGED_FILE, RUNS, VERSIONS, is_picture, name_of
from textinv.registry.movement import read_entry, reconcile, remove_versions
from textinv.registry.publication import complete, read_claim
from textinv.store.protocol import ObjectInfo, ObjectStore, server_time, side_by_side

# Must exceed the longest time between a run's first artifact and its claim; a publisher may wait for its store.
GRACE_S = 24 * 3600.0


@dataclass
class SweepReport:
    """What was done, or would be: publications completed, objects removed and their size, what could not be read."""

    completed: list[str] = field(default_factory=list)
    removed_keys: list[str] = field(default_factory=list)
    removed_bytes: int = 0
    damaged: list[str] = field(default_factory=list)


def sweep(store: ObjectStore, *, dry_run: bool, grace_s: float) -> SweepReport:
    """Complete publications, then remove unnamed objects that are older than `grace_s` by the store's own clock.

    Nothing is removed from runs while a version cannot be read, as it may name any of them.
    """
    report = SweepReport()
    # Listed first: a run that is claimed while this goes on is then too young to be looked at.
    candidates, purged = _old_objects(store, grace_s)
    live = _live_runs(store, report, dry_run)
    doomed = [
        info for info in candidates if not _is_live(info, live, purged) and not (report.damaged and _is_run(info))
    ]
    report.removed_keys += [info.key for info in doomed]
    report.removed_bytes += sum(info.size_bytes for info in doomed)
    if not dry_run:
        store.delete(info.key for info in doomed)
    return report


def _old_objects(store: ObjectStore, grace_s: float) -> tuple[list[ObjectInfo], set[str]]:
    """Objects of runs and probes that are old enough, and the runs whose pictures were deleted on purpose."""
    limit = server_time(store) - timedelta(seconds=grace_s)
    found = [info for prefix in (RUNS, PROBES) for info in store.list(prefix)]
    purged = {_run_of(info) for info in found if _is_run(info) and info.key.endswith(f"/{PURGED_FILE}")}
    return [info for info in found if info.modified <= limit], purged


def _is_run(info: ObjectInfo) -> bool:
    return info.key.startswith(RUNS)


def _run_of(info: ObjectInfo) -> str:
    return info.key.split("/")[1]


def _is_live(info: ObjectInfo, live: set[str], purged: set[str]) -> bool:
    if not _is_run(info) or _run_of(info) not in live:
        return False
    return not (_run_of(info) in purged and is_picture(info.key))


def _live_runs(store: ObjectStore, report: SweepReport, dry_run: bool) -> set[str]:
    entries = list(_read_versions(store, report))
    claims = {name_of(info.key) for info in store.list(DONE)} - {entry.fingerprint for entry in entries}
    unfinished = [claim for claim in side_by_side(lambda one: read_claim(store, one), sorted(claims)) if claim]
    for claim in unfinished:
        report.completed.append(f"{claim.entry.name}@{claim.entry.version}")
        if not dry_run:
            complete(store, claim)
    buried = _settle_heads(store, entries, report, dry_run)
    live = {entry.run_id for entry in entries if entry not in buried}
    return live | {claim.entry.run_id for claim in unfinished}


def _read_versions(store: ObjectStore, report: SweepReport) -> Iterable[VersionEntry]:
    def read(key: str) -> VersionEntry | None:
        try:
            return read_entry(store, key)
        except CorruptObjectError:
            report.damaged.append(key)
            return None

    keys = [info.key for info in store.list(VERSIONS)]
    return [entry for entry in side_by_side(read, keys) if entry is not None]


def _settle_heads(
    store: ObjectStore, entries: list[VersionEntry], report: SweepReport, dry_run: bool
) -> list[VersionEntry]:
    """Roll heads forward that lag; return the versions of removed concepts that were left behind."""
    newest = {(entry.name, entry.base_revision): entry for entry in entries}
    buried: list[VersionEntry] = []
    for of, at in zip(newest, side_by_side(lambda of: read_head(store, *of), newest), strict=True):
        if at is not None and at.head.removed:
            mine = (entry for entry in entries if (entry.name, entry.base_revision) == of)
            buried += [entry for entry in mine if entry.version <= at.head.latest]
        elif at is None or at.head.latest < newest[of].version:
            report.completed.append(f"{of[0]}@{newest[of].version}")
            if not dry_run:
                reconcile(store, of[0])
    report.removed_keys += [f"{VERSIONS}{entry.name}/{entry.version}" for entry in buried]
    if not dry_run:
        remove_versions(store, buried)
    return buried
