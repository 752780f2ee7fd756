"""The boto3 client, made once per process for each server and pair of keys, signing by the server's clock.

Owns its settings; making one takes a tenth of a second and 30 MB, so all stores on a server share it. Clients may be
used by any number of threads, but are made one after the other and never sent to another process. S3 servers refuse
requests that were signed more than a quarter of an hour ago, or from now: a client learns its offset from such a
refusal and signs by it from then on, so that a machine whose wall clock is hours off can use a store all the same.
"""

import threading
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

from textinv.settings import StoreSettings, is_loopback
from textinv.store.s3_keys import attach_keys

MAX_CONNECTIONS = 32
SOON_S = 8
"""A server that has not answered for so long, twice, is given up by whoever keeps people waiting."""

_clients: dict[tuple[str | None, ...], Any] = {}
_clocks: dict[tuple[str | None, ...], "ServerClock"] = {}
_making = threading.Lock()


def s3_client(settings: StoreSettings, *, answers_soon: bool = False) -> Any:
    """The process's client for the server and the keys of these settings; for whoever keeps people waiting, one that
    gives a server up after seconds and not minutes."""
    return _client_at(settings.endpoint_url, settings, answers_soon)


def link_client(settings: StoreSettings) -> Any:
    """The process's client that makes links for callers: they are signed for the host that callers see, by the clock
    that the server has shown to the other client."""
    return _client_at(settings.public_endpoint_url or settings.endpoint_url, settings)


def _client_at(endpoint_url: str | None, settings: StoreSettings, answers_soon: bool = False) -> Any:
    secret = settings.secret_key.get_secret_value() if settings.secret_key else None
    keys = (settings.region, settings.access_key, secret)
    with _making:
        which = endpoint_url, str(answers_soon), *keys
        if which not in _clients:
            clock = _clocks.setdefault((settings.endpoint_url, *keys), ServerClock())
            _clients[which] = _new_client(settings, _config(endpoint_url, answers_soon), endpoint_url, clock)
        return _clients[which]


def _new_client(settings: StoreSettings, config: Any, endpoint_url: str | None, clock: "ServerClock") -> Any:
    import boto3  # a third of a second, which `--help` need not wait for
    import botocore.session

    core = botocore.session.get_session()
    # Half of a listing's time would go into the general date parser.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_parse_timestamp)
    client = boto3.session.Session(botocore_session=core).client(
        "s3",
        endpoint_url=endpoint_url,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key.get_secret_value() if settings.secret_key else None,
        config=config,
    )
    clock.attach(client)
    attach_keys(client, settings)
    return client


def _config(endpoint_url: str | None, answers_soon: bool) -> Any:
    from botocore.config import Config

    loopback = endpoint_url is not None and is_loopback(urlsplit(endpoint_url).hostname)
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint_url else "auto"},
        retries={"mode": "standard", "total_max_attempts": 2 if answers_soon else 4},
        connect_timeout=2 if loopback or answers_soon else 10,
        # SeaweedFS tries 13 s before it admits that an object is damaged, takes up to 19 s for its first write
        # after one start in ten, and seconds when writers collide on one key.
        read_timeout=SOON_S if answers_soon else 30,
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


_TIMESTAMP = "%Y%m%dT%H%M%SZ"
_NOTICEABLE = timedelta(minutes=5)
_REFUSED = (400, 403)


class ServerClock:
    """What a client knows of its server's clock."""

    def __init__(self) -> None:
        self._offset = timedelta()

    def attach(self, client: Any) -> None:
        """Let `client` sign by this clock."""
        client.meta.events.register("before-sign.s3", self._before_sign)
        client.meta.events.register_first("needs-retry.s3", self._needs_retry)

    def _before_sign(self, request: Any, **_: Any) -> None:
        if self._offset:
            request.context = _Shifted(request.context, self._offset)

    def _needs_retry(self, response: Any, **_: Any) -> float | None:
        """Seconds until a refused request is sent again: at once, when the clock was the reason."""
        if response is None or response[0].status_code not in _REFUSED:
            return None
        offset = _offset_of(response[0].headers.get("date"))
        if offset is None or abs(offset - self._offset) < _NOTICEABLE:
            return None
        self._offset = offset
        return 0.0


class _Shifted(dict[str, Any]):
    """A request's context in which the time of signing, as soon as it is set, becomes the server's."""

    def __init__(self, context: dict[str, Any], offset: timedelta) -> None:
        super().__init__(context)
        self._offset = offset

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "timestamp":
            value = (datetime.strptime(value, _TIMESTAMP) + self._offset).strftime(_TIMESTAMP)
        super().__setitem__(key, value)


def _offset_of(date: str | None) -> timedelta | None:
    """How much later it is at a server that gives its date."""
    try:
        return parsedate_to_datetime(date) - datetime.now(UTC) if date else None
    except (ValueError, TypeError):
        return None
