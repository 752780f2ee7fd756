"""From settings to a store that can be trusted.

Owns the check at connect and the choice between a configured endpoint and the embedded server.
"""

import threading

from textinv.errors import StoreError
from textinv.settings import Settings, StoreSettings
from textinv.store.embedded import EmbeddedServer
from textinv.store.probe import probe_conditional_writes
from textinv.store.protocol import ObjectStore
from textinv.store.s3 import S3Store

_connected: dict[tuple[str | None, str, str, str | None], S3Store] = {}
_connecting = threading.Lock()


def connect_store(settings: StoreSettings) -> S3Store:
    """Connect to a store; one per process and settings, probed once.

    Raises:
        StoreUnreachableError: nobody answers at the endpoint.
        StoreCredentialsError: the keys are refused.
        StoreUnsafeError: the store ignores conditional writes.
        StoreError: the bucket is missing and cannot be made.
    """
    secret = settings.secret_key.get_secret_value() if settings.secret_key else ""
    identity = (settings.endpoint_url, f"{settings.bucket}/{settings.prefix}", secret, settings.access_key)
    with _connecting:
        if identity not in _connected:
            store = S3Store(settings)
            _probe(store)
            _connected[identity] = store
        return _connected[identity]


def _probe(store: S3Store) -> None:
    where = store.settings.endpoint_url or "AWS S3"
    try:
        probe_conditional_writes(store, where)
    except StoreError as error:
        if error.details.get("store_code") != "NoSuchBucket":
            raise
        store.make_bucket()
        probe_conditional_writes(store, where)


def ensure_store(settings: Settings) -> ObjectStore:
    """Connect to the configured store, or start the embedded one under `settings.home` and connect to that."""
    chosen = settings.store
    if chosen.endpoint_url is None:
        chosen = EmbeddedServer(settings.home).up()
    return connect_store(chosen)
