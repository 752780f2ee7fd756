"""What `format.json` says: which layout a store has, and whether a migration is under way.

Owns reading and writing it, and what is said of a store of another format. Does not migrate: see
`textinv.registry.migration`.
"""

import json
from contextlib import suppress

from textinv.errors import ObjectNotFoundError, OldFormatError, StoreConflictError, StoreError
from textinv.registry.layout import FORMAT, FORMAT_KEY
from textinv.store.protocol import JSON, ObjectStore

_BODY = b'{"format":%d}' % FORMAT
_UNDER_WAY = b'{"format":%d,"migrating_to":%d}' % (FORMAT - 1, FORMAT)


def check(store: ObjectStore, *, write: bool) -> bool:
    """Whether a store says that it is of this format; with `write`, one that says nothing is made to say it.

    Raises:
        OldFormatError: it is of an older format.
        StoreError: it is of a newer one.
    """
    found = _read(store)
    if found is None and write:
        with suppress(StoreConflictError):
            store.create(FORMAT_KEY, _BODY, JSON)
        return check(store, write=False)
    if found is None or found == _BODY:
        return found is not None
    number = _number(found)
    if number is None or number >= FORMAT:
        raise _newer(found)
    is_cut_short = found == _UNDER_WAY
    raise OldFormatError(
        f"the migration of this store to format {FORMAT} was cut short: run `textinv store migrate` again"
        if is_cut_short
        else f"this store is of format {number}, and this program's is {FORMAT}: stop what else uses it, and run "
        "`textinv store migrate` (--dry-run says first what it would do)",
        found=number,
    )


def begin_migration(store: ObjectStore, *, dry_run: bool) -> None:
    """Say that a migration is under way, unless the store is of this format already.

    Raises:
        StoreError: it is of a newer one.
    """
    found = _read(store)
    number = FORMAT if found is None else _number(found)
    if number is None or number > FORMAT:
        raise _newer(found or b"")
    if number < FORMAT and not dry_run:
        store.put(FORMAT_KEY, _UNDER_WAY, JSON)


def end_migration(store: ObjectStore) -> None:
    """Say that a store is of this format."""
    store.put(FORMAT_KEY, _BODY, JSON)


def _read(store: ObjectStore) -> bytes | None:
    try:
        return store.get(FORMAT_KEY).body
    except ObjectNotFoundError:
        return None


def _number(body: bytes) -> int | None:
    try:
        return int(json.loads(body)["format"])
    except (ValueError, KeyError, TypeError):
        return None


def _newer(body: bytes) -> StoreError:
    return StoreError(
        f"{FORMAT_KEY} ({body[:80]!r}) names a layout that this program does not know: use a newer textinv"
    )
