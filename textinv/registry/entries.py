"""What the registry stores and what it hands out.

Owns the JSON of versions and heads, and the values that callers get. Lenient when reading: unknown fields are ignored,
so that an older program can read what a newer one wrote.
"""

import hashlib
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from textinv.errors import CorruptObjectError, in_a_line

if TYPE_CHECKING:  # torch: only where rows are read
    from textinv.embedding import Embedding


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    def body(self) -> bytes:
        """Write it as JSON; equal values give equal bytes."""
        return self.model_dump_json().encode()


class Artifact(_Stored):
    """One file of a run."""

    key: str
    size_bytes: int
    sha256: str
    media_type: str


class VersionEntry(_Stored):
    """A version as it is stored: everything about it but its artifacts' bytes."""

    name: str
    version: int
    run_id: str
    fingerprint: str
    created: str
    base_model: str
    base_revision: str
    digest: str
    num_vectors: int
    widths: dict[str, int]
    artifacts: dict[str, Artifact]
    family: str | None = None
    """Of the base model; None where its record does not say."""
    held: str | None = None
    """Why it does not become current by itself; None: nothing speaks against it."""
    pinned: tuple[str, ...] = ()
    """The prompts of its pinned pictures, from left to right; none where it has no such pictures."""
    format: int = 1
    """Of the store, when this was written."""

    @property
    def of_weights_alone(self) -> bool:
        """Whether the revision is a hash of weights alone, as in format 1; a commit of the hub never was."""
        return self.format == 1 and len(self.base_revision) == hashlib.sha256().digest_size * 2


class Head(_Stored):
    """The current version of a concept for a base model, with all that serving needs.

    `generation` grows with every change, so that no two states have the same ETag. `latest` is the highest version that
    the head has ever been told of: a head below it was moved back on purpose. A removed concept keeps its head, so
    that its numbers are never given again.
    """

    entry: VersionEntry
    generation: int
    latest: int
    removed: bool = False
    embedding: str
    """Base64 of the canonical bytes."""
    record: dict[str, Any]


@dataclass(frozen=True)
class PublishedVersion:
    """A version with its embedding, as serving and people use it.

    `etag` is the tag of the head that it was read from; None when it was asked for by number.
    """

    name: str
    version: int
    run_id: str
    base_model: str
    base_revision: str
    embedding: "Embedding"
    digest: str
    record: Mapping[str, Any]
    created: str
    etag: str | None
    fingerprint: str = ""

    @property
    def family(self) -> str | None:
        """The family of the base model that it was learned on; None where its record does not say."""
        return family_of(self.record)


@dataclass(frozen=True)
class Described:
    """A version without its rows: what is read of it where nothing is drawn."""

    entry: VersionEntry
    record: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """The run that it came of."""
        return self.entry.run_id


@dataclass(frozen=True)
class VersionSummary:
    """A line in the list of a concept's versions."""

    name: str
    version: int
    created: str
    run_id: str
    fingerprint: str
    digest: str
    base_model: str
    current: bool
    held: str | None = None
    """Why it did not become current by itself."""
    pinned: tuple[str, ...] = ()
    """The prompts of its pinned pictures, from left to right."""


@dataclass(frozen=True)
class ConceptSummary:
    """A line in the list of concepts: its current version. `latest` is the highest version there has been."""

    name: str
    version: int
    latest: int
    created: str
    fingerprint: str
    digest: str
    base_model: str
    base_revision: str
    num_vectors: int
    widths: Mapping[str, int]
    kind: str | None = None
    """`object` or `style`; None where its record does not say."""
    family: str | None = None
    """Of its base model; None where its record does not say."""


def parse_entry(key: str, body: bytes) -> VersionEntry:
    """Read a stored version.

    Raises:
        CorruptObjectError: it is not one.
    """
    try:
        return VersionEntry.model_validate_json(body)
    except ValidationError as error:
        raise _damaged(key, error) from error


def parse_head(key: str, body: bytes) -> Head:
    """Read a stored head.

    Raises:
        CorruptObjectError: it is not one.
    """
    try:
        return Head.model_validate_json(body)
    except ValidationError as error:
        raise _damaged(key, error) from error


def check_digest(key: str, body: bytes, sha256: str) -> bytes:
    """Return `body` if it is what was written.

    Raises:
        CorruptObjectError: it is not.
    """
    found = hashlib.sha256(body).hexdigest()
    if found != sha256:
        raise CorruptObjectError(
            f"{key} has SHA-256 {found[:12]}..., but {sha256[:12]}... was written: the store changed its bytes; "
            "restore it, or remove the version and train it again",
            key=key,
        )
    return body


def summary_of(head: Head) -> ConceptSummary:
    """Summarize a head."""
    entry = head.entry
    of_head = ("latest", "kind", "family")
    shared = {field: getattr(entry, field) for field in ConceptSummary.__dataclass_fields__ if field not in of_head}
    spec = head.record.get("spec")
    kind = spec.get("kind") if isinstance(spec, dict) else None
    kind = kind if isinstance(kind, str) else None
    return ConceptSummary(latest=head.latest, kind=kind, family=family_of(head.record), **shared)


def family_of(record: Mapping[str, Any]) -> str | None:
    """The family of the base model that a record names."""
    base = record.get("base_model")
    family = base.get("family") if isinstance(base, dict) else None
    return family if isinstance(family, str) else None


def held_by(record: Mapping[str, Any]) -> str | None:
    """Why a record's version is not to become current by itself."""
    gate = record.get("gate")
    held = gate.get("held") if isinstance(gate, dict) else None
    return held if isinstance(held, str) and held else None


def pinned_by(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The prompts of the pinned pictures that a record tells of."""
    pinned = record.get("pinned")
    prompts = pinned.get("prompts") if isinstance(pinned, dict) else None
    return tuple(prompts) if isinstance(prompts, list) and all(isinstance(one, str) for one in prompts) else ()


def version_summary(entry: VersionEntry, current: Set[int]) -> VersionSummary:
    """Summarize a version; `current` are the numbers that heads name."""
    shared = {field: getattr(entry, field) for field in VersionSummary.__dataclass_fields__ if field != "current"}
    return VersionSummary(current=entry.version in current, **shared)


def _damaged(key: str, error: ValidationError) -> CorruptObjectError:
    return CorruptObjectError(
        f"{key} is not what was written ({in_a_line(error)}): run `textinv concept verify`", key=key
    )
