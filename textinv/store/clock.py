"""Signing by the server's clock: a machine whose wall clock is hours off can use a store all the same.

S3 servers refuse requests that were signed more than a quarter of an hour ago, or from now. Owns learning a client's
offset from such a refusal, and signing by it from then on. Nothing else in a store depends on this machine's clock.
"""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

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
