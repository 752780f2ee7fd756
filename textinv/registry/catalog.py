"""The list of concepts.

One listing gives the tag of every head; the catalog, a derived object, remembers the summary that belongs to each tag,
so only heads that changed since are read. A catalog that is stale, damaged or missing costs time and nothing else.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from textinv.errors import CorruptObjectError, StoreError
from textinv.registry.entries import ConceptSummary, summary_of
from textinv.registry.heads import read_head
from textinv.registry.layout import CATALOG_KEY, HEADS, name_of
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
    """Lists the concepts of a store; what it read of a head is remembered until the head's tag changes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._known: Mapping[str, CatalogEntry] = {}

    def list(self, prefix: str, on_corrupt: OnCorrupt | None) -> Iterator[ConceptSummary]:
        """List the concepts whose names start with `prefix`, in order; with `on_corrupt`, damaged ones are left out.

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
        for name in sorted(tags.keys() - missing):  # keys sort "cat-2.json" before "cat.json"
            summary = known[name].summary
            if summary is not None:
                yield summary


def _changed(tags: Mapping[str, str], known: Mapping[str, CatalogEntry]) -> list[str]:
    return [name for name, etag in tags.items() if name not in known or known[name].etag != etag]


def _entry(store: ObjectStore, name: str, on_corrupt: OnCorrupt | None) -> CatalogEntry | None:
    try:
        at = read_head(store, name)
    except CorruptObjectError as error:
        if on_corrupt is None:
            raise
        on_corrupt(name, error)
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
