"""Buckets that `s3://` prefixes name.

Owns opening them with the store's endpoint and credentials. They are only read: no probe is written there.
"""

from collections.abc import Callable

from textinv.settings import Settings
from textinv.store.embedded import EmbeddedServer
from textinv.store.protocol import ObjectStore


def bucket_opener(settings: Settings) -> Callable[[str], ObjectStore]:
    """A function that opens a bucket by name; nothing is contacted before it is called."""

    def open_bucket(name: str) -> ObjectStore:
        from textinv.store.s3 import S3Store

        chosen = settings.store
        if chosen.endpoint_url is None:
            chosen = EmbeddedServer(settings.home).up()
        return S3Store(chosen.model_copy(update={"bucket": name, "prefix": ""}))

    return open_bucket
