"""The list of concepts.

One listing gives the tag of every head; the catalog, a derived object, remembers the summary that belongs to each tag,
so only heads that changed since are read. A catalog that is stale, damaged or missing costs time and nothing else.
"""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from textinv.errors import CorruptObjectError, StoreError
from textinv.registry.entries import ConceptSummary, summary_of
from textinv.registry.heads import read_head_at
from textinv.registry.layout import CATALOG_KEY, HEADS, concept_of, name_of
from textinv.store.protocol import ObjectStore, side_by_side

# Below this, reading the heads again is as fast as reading the catalog.
_WORTH_WRITING = 16


@dataclass(frozen=True)
class CatalogEntry:
    """What the catalog says of one head: its tag and summary; None for a removed concept."""

    etag: str
    summary: ConceptSummary | None


_CATALOG = TypeAdapter(dict[str, CatalogEntry])


OnCorrupt = Callable[[str, CorruptObjectError], None]
"""Hears of a concept, by name, whose head cannot be read."""


class Catalog:
    """Lists the heads of a store; what it read of a head is remembered until the head's tag changes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: Mapping[str, CatalogEntry] = {}

    def list(self, prefix: str, on_corrupt: OnCorrupt | None) -> Iterator[ConceptSummary]:
        """List the heads of concepts whose names start with `prefix`, in order of names and then of versions.

        With `on_corrupt`, damaged ones are left out.

        Raises:
            CorruptObjectError: a head cannot be read, and nobody wants to hear of it.
        """
        tags = {name_of(info.key): info.etag for info in self._store.list(HEADS + prefix)}
        known = self._known
        changed = _changed(tags, known)
        if len(changed) > _WORTH_WRITING:
            catalog = _read_catalog(self._store)
            known = {**known, **{name: catalog[name] for name in changed if name in catalog}}
            changed = _changed(tags, known)
        fresh = dict(
            zip(changed, side_by_side(lambda name: _entry(self._store, name, on_corrupt), changed), strict=True)
        )
        known = {**known, **{name: entry for name, entry in fresh.items() if entry is not None}}
        if len(changed) > _WORTH_WRITING:
            _write_catalog(self._store, known)
        missing = {name for name, entry in fresh.items() if entry is None}
        self._known = {name: entry for name, entry in known.items() if not name.startswith(prefix) or name in tags}
        summaries = (known[name].summary for name in tags.keys() - missing)
        yield from sorted((one for one in summaries if one is not None), key=lambda one: (one.name, one.version))


def one_each(summaries: Iterable[ConceptSummary], base_revision: str | None) -> Iterator[ConceptSummary]:
    """Of the heads of each concept the one that its name means for a base model: its own, else the newest version."""
    for _, of_one in groupby(summaries, key=lambda one: one.name):
        heads = list(of_one)
        yield next((one for one in heads if one.base_revision == base_revision), heads[-1])


def _changed(tags: Mapping[str, str], known: Mapping[str, CatalogEntry]) -> list[str]:
    return [name for name, etag in tags.items() if name not in known or known[name].etag != etag]


def _entry(store: ObjectStore, name: str, on_corrupt: OnCorrupt | None) -> CatalogEntry | None:
    try:
        at = read_head_at(store, f"{HEADS}{name}.json")
    except CorruptObjectError as error:
        if on_corrupt is None:
            raise
        on_corrupt(concept_of(name), error)
        return None
    return CatalogEntry(at.etag, None if at.head.removed else summary_of(at.head)) if at else None


def _read_catalog(store: ObjectStore) -> Mapping[str, CatalogEntry]:
    try:
        return _CATALOG.validate_json(gzip.decompress(store.get(CATALOG_KEY).body))
    except (StoreError, ValidationError, OSError, EOFError, zlib.error):
        return {}


def _write_catalog(store: ObjectStore, entries: Mapping[str, CatalogEntry]) -> None:
    try:
        store.put(CATALOG_KEY, gzip.compress(_CATALOG.dump_json(dict(entries)), 1, mtime=0), "application/gzip")
    except StoreError:
        # Somebody who may only read lists as well, just not faster next time.
        return
