"""Moving heads on purpose, and taking versions and concepts away.

Owns the order of these writes; each may be cut short and be done again.
"""

from collections.abc import Iterable, Sequence

from textinv.errors import ObjectNotFoundError
from textinv.registry.entries import Head, VersionEntry, parse_entry
from textinv.registry.heads import change_head, head_for, load_contents, read_heads, roll_forward
from textinv.registry.layout import done_key, run_prefix, version_key, versions_prefix
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

    change_head(store, entry.name, entry.base_revision, moved)


def reconcile(store: ObjectStore, name: str) -> bool:
    """Roll each head forward to the newest version for its base model that it has not been told of; whether any was."""
    newest = {entry.base_revision: entry for entry in stored_versions(store, name)}
    told = {at.head.entry.base_revision: at.head.latest for at in read_heads(store, name)}
    behind = [entry for base_revision, entry in newest.items() if told.get(base_revision, 0) < entry.version]
    for entry in behind:
        roll_forward(store, entry)
    return bool(behind)


def remove_concept(store: ObjectStore, name: str) -> bool:
    """Remove a concept; whether there was one.

    Serving stops first; what an interrupted removal leaves behind is removed by the next one, when the name is used
    again, or by `gc`.
    """
    entries = stored_versions(store, name)
    heads = read_heads(store, name)
    last = {at.head.entry.base_revision: at.head.entry for at in heads}
    last |= {entry.base_revision: entry for entry in entries}
    newest = max([entry.version for entry in entries] + [at.head.latest for at in heads], default=0)
    for entry in last.values():
        _bury(store, entry, newest)
    remove_versions(store, entries)
    return bool(entries) or any(not at.head.removed for at in heads)


def _bury(store: ObjectStore, last: VersionEntry, newest: int) -> None:
    """Take a concept's head for a base model away, so that no number up to `newest` is given again."""

    def buried(head: Head | None) -> Head | None:
        if head is None:
            return Head(entry=last, generation=1, latest=newest, removed=True, embedding="", record={})
        update = {"removed": True, "generation": head.generation + 1, "latest": max(head.latest, newest)}
        return None if head.removed else head.model_copy(update=update | {"embedding": "", "record": {}})

    change_head(store, last.name, last.base_revision, buried)


def finish_removal(store: ObjectStore, name: str) -> None:
    """Remove what a removal that was cut short has left, before the name is used again."""
    buried = {at.head.entry.base_revision: at.head.latest for at in read_heads(store, name) if at.head.removed}
    if buried:
        entries = stored_versions(store, name)
        remove_versions(store, [entry for entry in entries if entry.version <= buried.get(entry.base_revision, 0)])


def remove_versions(store: ObjectStore, entries: Iterable[VersionEntry]) -> None:
    """Remove versions, so that their specs count as not done, with their artifacts."""
    for entry in entries:
        claim = read_claim(store, entry.fingerprint)
        if claim is not None and claim.entry.run_id == entry.run_id:
            store.delete([done_key(entry.fingerprint)])
        store.delete([version_key(entry.name, entry.version)])
        store.delete([info.key for info in store.list(run_prefix(entry.run_id))])
