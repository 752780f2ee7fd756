"""Pictures beside a version, and deleting them on purpose.

A version never changes, so a mark beside its artifacts says that its pictures are meant to be gone. Owns the order: the
mark first, then the pictures; what is cut short between the two is carried through by `gc`.
"""

from collections.abc import Sequence

from textinv.errors import CorruptObjectError
from textinv.registry.entries import Artifact, VersionEntry
from textinv.registry.heads import load_artifact
from textinv.registry.layout import is_picture, purged_key
from textinv.registry.publication import read_claim
from textinv.store.protocol import ObjectStore


def are_purged(store: ObjectStore, run_id: str) -> bool:
    """Whether the pictures of a run were deleted on purpose."""
    return store.exists(purged_key(run_id))


def pictures_of(store: ObjectStore, entry: VersionEntry) -> Sequence[tuple[str, Artifact]]:
    """The pictures beside a version that were not deleted, in order of their files' names."""
    pictures = [(file, artifact) for file, artifact in sorted(entry.artifacts.items()) if is_picture(file)]
    return [] if pictures and are_purged(store, entry.run_id) else pictures


def load_picture(store: ObjectStore, entry: VersionEntry) -> tuple[bytes, str] | None:
    """Read the first picture beside a version and its media type; None when it has none any more.

    Raises:
        CorruptObjectError: it is lost, or not what was written.
    """
    first = next(((file, found) for file, found in sorted(entry.artifacts.items()) if is_picture(file)), None)
    if first is None:
        return None
    try:
        return load_artifact(store, entry, first[0]), first[1].media_type
    except CorruptObjectError:
        if are_purged(store, entry.run_id):
            return None
        raise


def purge_pictures(store: ObjectStore, fingerprint: str) -> None:
    """Delete the pictures beside the version of a spec, if it has one; the embedding and the record stay."""
    claim = read_claim(store, fingerprint)
    if claim is not None:
        doomed = [artifact.key for file, artifact in claim.entry.artifacts.items() if is_picture(file)]
        if doomed:
            store.put(purged_key(claim.entry.run_id), b"")
            store.delete(doomed)
