"""Asks a store, with five requests, whether it honours conditional writes.

Versions, heads and leases rest on "create once" and "replace only if unchanged". Several S3 servers accept the
condition and write anyway; with such a store two publishers overwrite each other without a word.
"""

import secrets
from collections.abc import Callable

from textinv.errors import StoreConflictError, StoreUnsafeError
from textinv.store.protocol import ObjectStore


def probe_conditional_writes(store: ObjectStore, where: str) -> None:
    """Write a throw-away object and check that wrong conditions are refused.

    Raises:
        StoreUnsafeError: the store at `where` ignores conditions, or changes the bytes.
    """
    key = f"probe/{secrets.token_hex(8)}"
    first, second = secrets.token_bytes(32), secrets.token_bytes(32)
    etag = store.create(key, first)
    try:
        if not _refuses(lambda: store.create(key, second)):
            raise _unsafe(where, "lets an object be created twice (If-None-Match)")
        wrong = f'"{secrets.token_hex(16)}"'
        if not _refuses(lambda: store.swap(key, second, wrong)):
            raise _unsafe(where, "replaces an object that has changed (If-Match)")
        if store.get(key) != (first, etag):
            raise _unsafe(where, "does not return the bytes that were written")
        if store.get_if_changed(key, etag) is not None:
            raise _unsafe(where, "cannot say that an object is unchanged (304)")
    finally:
        store.delete([key])


def _refuses(write: Callable[[], str]) -> bool:
    try:
        write()
    except StoreConflictError:
        return True
    return False


def _unsafe(where: str, what: str) -> StoreUnsafeError:
    return StoreUnsafeError(
        f"the store at {where} {what}, so two writers would lose each other's versions without an error: "
        "use a server with conditional writes (AWS S3, SeaweedFS 4.48 or later, current MinIO or Ceph)"
    )
