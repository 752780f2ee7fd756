"""What lies beside a version, which never changes itself: its pictures, and scores that were taken of it later.

Pictures may be deleted on purpose: a mark beside the artifacts says that they are meant to be gone. Owns the order, the
mark first, then the pictures; what is cut short between the two is carried through by `gc`. Each evaluation is a
document of its own. All of it goes when the version goes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from textinv.errors import CorruptObjectError
from textinv.registry.entries import Artifact, VersionEntry
from textinv.registry.heads import load_artifact
from textinv.registry.layout import PINNED_FILE, evaluations_prefix, is_picture, new_run_id, purged_key
from textinv.registry.publication import read_claim
from textinv.store.protocol import JSON, ObjectStore


def are_purged(store: ObjectStore, run_id: str) -> bool:
    """Whether the pictures of a run were deleted on purpose."""
    return store.exists(purged_key(run_id))


def pictures_of(store: ObjectStore, entry: VersionEntry) -> Sequence[tuple[str, Artifact]]:
    """The pictures beside a version that were not deleted, in order of their files' names."""
    pictures = [(file, artifact) for file, artifact in sorted(entry.artifacts.items()) if is_picture(file)]
    return [] if pictures and are_purged(store, entry.run_id) else pictures


def load_picture(store: ObjectStore, entry: VersionEntry) -> tuple[bytes, str] | None:
    """Read the picture that shows a version and its media type; None when it has none any more.

    That is the first of its pinned ones where none was drawn for this. The type is that of the bytes: names and records
    of a version that was copied may come from anywhere.

    Raises:
        CorruptObjectError: it is lost, or not what was written.
    """
    from textinv.images.decode import shown_type  # numpy and Pillow: only where a picture is read
    from textinv.images.strip import first_cell

    try:
        for file in sorted(filter(is_picture, entry.artifacts.keys() - {PINNED_FILE})):
            data = load_artifact(store, entry, file)
            if (kind := shown_type(data)) is not None:
                return data, kind
        if entry.pinned and (first := first_cell(load_artifact(store, entry, PINNED_FILE), len(entry.pinned))):
            return first, "image/jpeg"
    except CorruptObjectError:
        if not are_purged(store, entry.run_id):
            raise
    return None


def load_pinned(store: ObjectStore, entry: VersionEntry) -> bytes | None:
    """Read the pinned pictures of a version, in a row; None when it has none any more.

    Raises:
        CorruptObjectError: they are lost, or not what was written.
    """
    try:
        return load_artifact(store, entry, PINNED_FILE) if entry.pinned else None
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


def add_evaluation(store: ObjectStore, run_id: str, evaluation: Mapping[str, Any]) -> str:
    """Store an evaluation of the version that came of a run; its key."""
    key = f"{evaluations_prefix(run_id)}{new_run_id()}.json"
    store.create(key, json.dumps(evaluation, sort_keys=True).encode(), JSON)
    return key


def added_evaluations(store: ObjectStore, run_id: str) -> Iterator[dict[str, Any]]:
    """Evaluations of the version that came of a run, oldest first.

    Raises:
        CorruptObjectError: one cannot be read.
    """
    for info in store.list(evaluations_prefix(run_id)):
        try:
            found: dict[str, Any] = json.loads(store.get(info.key).body)
        except ValueError as error:
            raise CorruptObjectError(f"the evaluation {info.key} is not JSON: delete it") from error
        yield found
