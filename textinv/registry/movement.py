"""Moving heads on purpose, and taking versions and concepts away.

Owns the order of these writes; each may be cut short and be done again.
"""

from collections.abc import Iterable, Sequence

from textinv.errors import ObjectNotFoundError
from textinv.registry.entries import Head, VersionEntry, parse_entry
from textinv.registry.heads import change_head, head_for, load_contents, read_head, roll_forward
from textinv.registry.layout import done_key, name_of, run_prefix, version_key, versions_prefix
from textinv.registry.publication import read_claim
from textinv.store.protocol import ObjectStore, side_by_side


def stored_versions(store: ObjectStore, name: str) -> Sequence[VersionEntry]:
    """Read all versions of a concept, oldest first."""
    keys = [info.key for info in store.list(versions_prefix(name))]
    return [entry for entry in side_by_side(lambda key: read_entry(store, key), keys) if entry is not None]


def read_entry(store: ObjectStore, key: str) -> VersionEntry | None:
    """Read a version; None when it is gone meanwhile.

    Raises:
        CorruptObjectError: it cannot be read.
    """
    try:
        return parse_entry(key, store.get(key).body)
    except ObjectNotFoundError:
        return None


def move_head(store: ObjectStore, entry: VersionEntry) -> None:
    """Make an older or newer version current."""
    contents = load_contents(store, entry)

    def moved(head: Head | None) -> Head | None:
        if head is None or head.removed or head.entry == entry:
            return None
        return head_for(entry, contents, head, max(head.latest, entry.version))

    change_head(store, entry.name, moved)


def reconcile(store: ObjectStore, name: str) -> bool:
    """Roll the head forward to the newest version when it has not been told of it; whether that was so."""
    keys = [info.key for info in store.list(versions_prefix(name))]
    if not keys:
        return False
    at = read_head(store, name)
    if at is not None and at.head.latest >= int(name_of(keys[-1])):
        return False
    entry = read_entry(store, keys[-1])
    if entry is not None:
        roll_forward(store, entry)
    return entry is not None


def remove_concept(store: ObjectStore, name: str) -> bool:
    """Remove a concept; whether there was one.

    Serving stops first; what an interrupted removal leaves behind is removed by the next one, when the name is used
    again, or by `gc`.
    """
    entries = stored_versions(store, name)
    at = read_head(store, name)
    if at is None and not entries:
        return False
    newest = max((entry.version for entry in entries), default=0)

    def buried(head: Head | None) -> Head | None:
        if head is None:
            return Head(entry=entries[-1], generation=1, latest=newest, removed=True, embedding="", record={})
        update = {"removed": True, "generation": head.generation + 1, "latest": max(head.latest, newest)}
        return None if head.removed else head.model_copy(update=update | {"embedding": "", "record": {}})

    change_head(store, name, buried)
    remove_versions(store, entries)
    return bool(entries) or (at is not None and not at.head.removed)


def finish_removal(store: ObjectStore, name: str) -> None:
    """Remove what a removal that was cut short has left, before the name is used again."""
    at = read_head(store, name)
    if at is not None and at.head.removed:
        remove_versions(store, [entry for entry in stored_versions(store, name) if entry.version <= at.head.latest])


def remove_versions(store: ObjectStore, entries: Iterable[VersionEntry]) -> None:
    """Remove versions, so that their specs count as not done, with their artifacts."""
    for entry in entries:
        claim = read_claim(store, entry.fingerprint)
        if claim is not None and claim.entry.run_id == entry.run_id:
            store.delete([done_key(entry.fingerprint)])
        store.delete([version_key(entry.name, entry.version)])
        store.delete([info.key for info in store.list(run_prefix(entry.run_id))])
