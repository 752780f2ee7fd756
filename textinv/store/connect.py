"""From settings to a store that can be trusted.

Owns the choice between a configured endpoint and the embedded server, and the check at connect: with eight requests it
asks whether the store honours conditional writes. Versions, heads and leases rest on "create once" and "replace only if
unchanged"; several S3 servers accept the condition and write anyway, and with such a store two publishers overwrite
each other without a word.
"""

import secrets
import threading
from collections.abc import Callable

from textinv.errors import StoreConflictError, StoreCredentialsError, StoreError, StoreUnsafeError
from textinv.settings import Settings, StoreSettings
from textinv.store.embedded import EmbeddedServer
from textinv.store.protocol import ObjectStore
from textinv.store.s3 import S3Store

_connected: dict[tuple[str | None, ...], S3Store] = {}
_connecting = threading.Lock()
_LOOKED_AT = "format.json"


def connect_store(settings: StoreSettings, *, reads_only: bool = False, answers_soon: bool = False) -> S3Store:
    """Connect to a store; one per process and settings, probed once.

    For who keeps people waiting it `answers_soon`: what takes longer than seconds fails. Who only reads writes no
    probe, and keys that may not write are good for reading: the store then refuses to write.

    Raises:
        StoreUnreachableError: nobody answers at the endpoint.
        StoreCredentialsError: the keys are refused.
        StoreUnsafeError: the store ignores conditional writes.
        StoreError: the bucket is missing and cannot be made.
    """
    secret = settings.secret_key.get_secret_value() if settings.secret_key else ""
    where = f"{settings.bucket}/{settings.prefix}"
    identity = (
        str(reads_only),
        str(answers_soon),
        settings.endpoint_url,
        settings.public_endpoint_url,
        where,
        secret,
        settings.access_key,
    )
    with _connecting:
        if identity not in _connected:
            store = S3Store(settings, reads_only=reads_only, answers_soon=answers_soon)
            _connected[identity] = _read_from(store) if reads_only else _probed(store)
        return _connected[identity]


def _probed(store: S3Store) -> S3Store:
    """The store, after its probe; where that may not be written, one that only reads."""
    try:
        _probe(store)
    except StoreCredentialsError as error:
        if error.details.get("store_code") not in ("AccessDenied", "403", "Forbidden"):
            raise
        try:
            return _read_from(S3Store(store.settings, reads_only=True, answers_soon=store.answers_soon))
        except StoreCredentialsError:
            raise error from None  # refused altogether: what was refused first came with the store's own reason
    return store


def _read_from(store: S3Store) -> S3Store:
    """The store, after a first look at it: wrong keys and addresses show at once."""
    store.exists(_LOOKED_AT)
    return store


def _probe(store: S3Store) -> None:
    where = store.settings.endpoint_url or "AWS S3"
    try:
        probe_conditional_writes(store, where)
    except StoreError as error:
        if error.details.get("store_code") != "NoSuchBucket":
            raise
        store.make_bucket()
        probe_conditional_writes(store, where)


def ensure_store(settings: Settings, *, reads_only: bool = False, answers_soon: bool = False) -> ObjectStore:
    """Connect to the configured store, or start the embedded one under `settings.home` and connect to that."""
    chosen = settings.store
    if chosen.endpoint_url is None:
        told = {"public_endpoint_url": chosen.public_endpoint_url}
        chosen = EmbeddedServer(settings.home).up().model_copy(update=told)
    return connect_store(chosen, reads_only=reads_only, answers_soon=answers_soon)


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
        if [info.key for info in store.list(key)] != [key]:
            raise StoreError(
                f"the store at {where} does not list an object that was written to it: is the bucket a part of the "
                "endpoint's URL? Write the host in store.endpoint_url and the bucket in store.bucket"
            )
        if store.get_if_changed(key, etag) is not None:
            raise _unsafe(where, "cannot say that an object is unchanged (304)")
    finally:
        store.delete([key])
    if store.exists(key):
        raise StoreError(f"the store at {where} keeps an object that was deleted: it cannot be used")


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
