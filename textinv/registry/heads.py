"""Reading and moving heads.

Owns the compare-and-swap of the one mutable object of a concept on a base model, and which of a concept's heads is
meant where nobody says on which base. Does not decide which version should be current.
"""

import base64
import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from textinv.errors import CorruptObjectError, EmbeddingFormatError, ObjectNotFoundError
from textinv.registry.entries import Head, PublishedVersion, VersionEntry, check_digest, parse_head
from textinv.registry.layout import EMBEDDING_FILE, RECORD_FILE, head_key, heads_prefix
from textinv.store.change import change as change_object
from textinv.store.protocol import ObjectStore

if TYPE_CHECKING:  # torch: only where rows are read
    from textinv.embedding import Embedding


class HeadAt(NamedTuple):
    """A head and the tag it was read at."""

    head: Head
    etag: str


class Contents(NamedTuple):
    """What a head carries beside its entry."""

    embedding: "Embedding"
    record: dict[str, Any]


def read_head(store: ObjectStore, name: str, base_revision: str) -> HeadAt | None:
    """Read a concept's head for a base model, that of a removed concept too; None when there never was one.

    Raises:
        CorruptObjectError: it cannot be read.
    """
    return read_head_at(store, head_key(name, base_revision))


def read_heads(store: ObjectStore, name: str) -> list[HeadAt]:
    """Read a concept's heads for all base models, those of a removed concept too.

    Raises:
        CorruptObjectError: one cannot be read.
    """
    found = (read_head_at(store, info.key) for info in store.list(heads_prefix(name)))
    return [at for at in found if at is not None]


def current_head(store: ObjectStore, name: str, base_revision: str | None) -> HeadAt | None:
    """The head that a name means for a base model: its own if there is one, else that with the newest version.

    Raises:
        CorruptObjectError: one cannot be read.
    """
    own = None if base_revision is None else read_head(store, name, base_revision)
    if own is not None and not own.head.removed:
        return own
    return newest_head(at for at in read_heads(store, name) if not at.head.removed)


def newest_head(heads: Iterable[HeadAt]) -> HeadAt | None:
    """The head with the newest version."""
    return max(heads, key=lambda at: at.head.entry.version, default=None)


def highest_number(store: ObjectStore, name: str) -> int:
    """The highest version of a concept that any head has been told of; 0 where there is none."""
    return max((at.head.latest for at in read_heads(store, name)), default=0)


def read_head_at(store: ObjectStore, key: str) -> HeadAt | None:
    """Read the head at a key; None when there is none.

    Raises:
        CorruptObjectError: it cannot be read.
    """
    try:
        stored = store.get(key)
    except ObjectNotFoundError:
        return None
    return HeadAt(parse_head(key, stored.body), stored.etag)


def is_removed(store: ObjectStore, entry: VersionEntry) -> bool:
    """Whether a version belongs to a concept that was removed, though it may be there: a removal may be cut short."""
    try:
        at = read_head(store, entry.name, entry.base_revision)
    except CorruptObjectError:
        return False  # a version needs no head
    return at is not None and at.head.removed and entry.version <= at.head.latest


def change_head(
    store: ObjectStore, name: str, base_revision: str, change: Callable[[Head | None], Head | None]
) -> None:
    """Replace a head by `change` of it, tried again when somebody else was faster; `change` returns None to leave it.

    Raises:
        StoreConflictError: others were faster every time.
    """
    key = head_key(name, base_revision)

    def make(body: bytes | None) -> bytes | None:
        head = change(None if body is None else parse_head(key, body))
        return None if head is None else head.body()

    change_object(store, key, make)


def roll_forward(store: ObjectStore, entry: VersionEntry, contents: Contents | None = None) -> None:
    """Make a version current, unless the head has already been told of it or of a later one.

    One that is held back leaves what is current as it is; where nothing is, there is nothing to protect.
    """

    def newer(head: Head | None) -> Head | None:
        if head is not None and head.latest >= entry.version:
            return None
        if entry.held and head is not None and not head.removed:
            return head.model_copy(update={"latest": entry.version, "generation": head.generation + 1})
        return head_for(entry, contents or load_contents(store, entry), head, entry.version)

    change_head(store, entry.name, entry.base_revision, newer)


def head_for(entry: VersionEntry, contents: Contents, previous: Head | None, latest: int) -> Head:
    """Make the head that names `entry`."""
    return Head(
        entry=entry,
        generation=previous.generation + 1 if previous else 1,
        latest=latest,
        embedding=base64.b64encode(contents.embedding.to_bytes()).decode(),
        record=contents.record,
    )


def load_contents(store: ObjectStore, entry: VersionEntry) -> Contents:
    """Read and check the embedding and the record of a version.

    Raises:
        CorruptObjectError: bytes are missing, or not those that were written.
    """
    embedding = load_artifact(store, entry, EMBEDDING_FILE)
    record = load_artifact(store, entry, RECORD_FILE)
    return Contents(decode_embedding(entry.artifacts[EMBEDDING_FILE].key, embedding), json.loads(record))


def load_artifact(store: ObjectStore, entry: VersionEntry, file: str) -> bytes:
    """Read and check one artifact of a version.

    Raises:
        CorruptObjectError: it is missing, or not what was written.
    """
    artifact = entry.artifacts.get(file)
    try:
        if artifact is not None:
            return check_digest(artifact.key, store.get(artifact.key).body, artifact.sha256)
    except ObjectNotFoundError:
        pass
    raise CorruptObjectError(f"{entry.name}@{entry.version} has lost its {file}: remove this version, or restore it")


def decode_embedding(key: str, body: bytes) -> "Embedding":
    """Read stored canonical bytes.

    Raises:
        CorruptObjectError: they are no embedding.
    """
    from textinv.embedding import Embedding

    try:
        return Embedding.from_bytes(body)
    except EmbeddingFormatError as error:
        raise CorruptObjectError(f"{key}: {error.message}", key=key) from error


def published(entry: VersionEntry, contents: Contents, etag: str | None) -> PublishedVersion:
    """Hand out a version."""
    return PublishedVersion(
        name=entry.name,
        version=entry.version,
        run_id=entry.run_id,
        base_model=entry.base_model,
        base_revision=entry.base_revision,
        embedding=contents.embedding,
        digest=entry.digest,
        record=contents.record,
        created=entry.created,
        etag=etag,
        fingerprint=entry.fingerprint,
    )


def published_head(at: HeadAt) -> PublishedVersion:
    """Hand out the version that a head names, from the head alone.

    Raises:
        CorruptObjectError: its embedding is not the one that was published.
    """
    entry, key = at.head.entry, head_key(at.head.entry.name, at.head.entry.base_revision)
    try:
        body = base64.b64decode(at.head.embedding, validate=True)
    except ValueError as error:
        raise CorruptObjectError(f"{key} carries no readable embedding ({error})", key=key) from error
    embedding = decode_embedding(key, check_digest(key, body, entry.digest))
    return published(entry, Contents(embedding, at.head.record), at.etag)
