"""The boto3 client, made once per process for each server and pair of keys.

Owns its settings; making one takes a tenth of a second and 30 MB, so all stores on a server share it. Clients may be
used by any number of threads, but are made one after the other and never sent to another process.
"""

import threading
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from textinv.settings import StoreSettings
from textinv.store.clock import ServerClock

MAX_CONNECTIONS = 32
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_clients: dict[tuple[str | None, ...], Any] = {}
_making = threading.Lock()


def s3_client(settings: StoreSettings) -> Any:
    """The process's client for the server and the keys of these settings."""
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    identity = (settings.endpoint_url, settings.region, settings.access_key, secret)
    with _making:
        if identity not in _clients:
            _clients[identity] = _new_client(settings, secret)
        return _clients[identity]


def _new_client(settings: StoreSettings, secret: str | None) -> Any:
    import boto3  # a third of a second, which `--help` need not wait for
    import botocore.session

    core = botocore.session.get_session()
    # Half of a listing's time would go into the general date parser.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
    client = boto3.session.Session(botocore_session=core).client(
        "s3",
        endpoint_url=settings.endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=secret,
        config=_config(settings.endpoint_url),
    )
    ServerClock().attach(client)
    return client


def _config(endpoint_url: str | None) -> Any:
    from botocore.config import Config

    loopback = endpoint_url is not None and urlsplit(endpoint_url).hostname in _LOOPBACK
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint_url else "auto"},
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=2 if loopback else 10,
        # SeaweedFS tries 13 s before it admits that an object is damaged, takes up to 19 s for its first write
        # after one start in ten, and seconds when writers collide on one key.
        read_timeout=30,
        max_pool_connections=MAX_CONNECTIONS,
        proxies={} if loopback else None,
        # Checking a checksum before the status breaks boto3 on error replies that carry one (boto3 issue 4765).
        response_checksum_validation="when_required",
    )


def _parse_timestamp(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value
    text = str(value)
    return datetime.fromisoformat(text) if text[:4].isdigit() else parsedate_to_datetime(text)
