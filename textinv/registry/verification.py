"""Hashing everything again.

Owns the walk over versions, artifacts, claims and heads; repairs nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from textinv.errors import StoreError
from textinv.registry.attachments import are_purged
from textinv.registry.entries import Artifact, check_digest, parse_entry, parse_head
from textinv.registry.heads import HeadAt, published_head
from textinv.registry.layout import (
    DONE,
    HEADS,
    VERSIONS,
    concept_of,
    done_key,
    heads_prefix,
    is_picture,
    versions_prefix,
)
from textinv.store.protocol import ObjectStore, side_by_side

Result = TypeVar("Result")


@dataclass(frozen=True)
class Problem:
    """Something that is damaged or missing, and the object it is about."""

    concept: str
    key: str
    message: str


def verify(store: ObjectStore, name: str | None) -> Iterator[Problem]:
    """Check all objects of one concept, or of all."""
    version_keys = [info.key for info in store.list(VERSIONS if name is None else versions_prefix(name))]
    for problems in side_by_side(lambda key: _check_version(store, key), version_keys):
        yield from problems
    heads = [info.key for info in store.list(heads_prefix(name) if name else HEADS)]
    for problems in side_by_side(lambda key: _check_head(store, key), heads):
        yield from problems
    if name is None:
        for problems in side_by_side(lambda key: _check_claim(store, key), [info.key for info in store.list(DONE)]):
            yield from problems


def _check_version(store: ObjectStore, key: str) -> Sequence[Problem]:
    concept = key.split("/")[1]
    entry, problems = _read(concept, key, lambda: parse_entry(key, store.get(key).body))
    if entry is None:
        return problems
    for file, artifact in entry.artifacts.items():
        found = _check_artifact(store, concept, artifact)
        if not (found and is_picture(file) and are_purged(store, entry.run_id)):
            problems += found
    if not store.exists(done_key(entry.fingerprint)):
        problems.append(Problem(concept, done_key(entry.fingerprint), "missing, so this spec would be trained again"))
    return problems


def _check_artifact(store: ObjectStore, concept: str, artifact: Artifact) -> Sequence[Problem]:
    key = artifact.key
    _, problems = _read(concept, key, lambda: check_digest(key, store.get(key).body, artifact.sha256))
    return problems


def _check_head(store: ObjectStore, key: str) -> Sequence[Problem]:
    concept = concept_of(key)
    at, problems = _read(concept, key, lambda: _head_at(store, key))
    if at is None or at.head.removed:
        return problems
    _, found = _read(concept, key, lambda: published_head(at))
    return problems + found


def _check_claim(store: ObjectStore, key: str) -> Sequence[Problem]:
    _, problems = _read("", key, lambda: parse_entry(key, store.get(key).body))
    return problems


def _head_at(store: ObjectStore, key: str) -> HeadAt:
    stored = store.get(key)
    return HeadAt(parse_head(key, stored.body), stored.etag)


def _read(concept: str, key: str, read: Callable[[], Result]) -> tuple[Result | None, list[Problem]]:
    try:
        return read(), []
    except StoreError as error:
        return None, [Problem(concept, key, error.message)]
