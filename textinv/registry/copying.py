"""Copying concepts from one store to another.

Owns what is carried over: the embedding, the record, the other artifacts (but for pictures that were deleted on
purpose) and the fingerprint, so that the target knows
the spec as done. The version number is the target's own.
"""

import hashlib
import json

from textinv.placeholders import ConceptRef
from textinv.registry.entries import PublishedVersion
from textinv.registry.heads import decode_embedding, load_artifact
from textinv.registry.layout import EMBEDDING_FILE, RECORD_FILE, is_picture
from textinv.registry.pictures import are_purged
from textinv.registry.registry import Registry


def copy_concept(source: Registry, target: Registry, ref: ConceptRef, new_name: str | None = None) -> PublishedVersion:
    """Publish a version of `source` in `target`, under another name if one is given; again changes nothing.

    Raises:
        UnknownConceptError: the source has no such concept or version.
        CorruptObjectError: its bytes are not those that were written.
    """
    entry = source.current_entry(ref.name) if ref.version is None else source.entry(ref.name, ref.version)
    purged = are_purged(source.store, entry.run_id)
    kept = [file for file in entry.artifacts if not (purged and is_picture(file))]
    bodies = {file: load_artifact(source.store, entry, file) for file in kept}
    embedding = decode_embedding(entry.artifacts[EMBEDDING_FILE].key, bodies.pop(EMBEDDING_FILE))
    record = json.loads(bodies.pop(RECORD_FILE))
    name = new_name or entry.name
    return target.publish(
        name,
        embedding,
        record,
        fingerprint=entry.fingerprint if name == entry.name else _renamed(entry.fingerprint, name),
        base_model=entry.base_model,
        base_revision=entry.base_revision,
        files=bodies,
    )


def _renamed(fingerprint: str, name: str) -> str:
    return hashlib.sha256(f"{fingerprint} as {name}".encode()).hexdigest()
