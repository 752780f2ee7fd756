"""Keys that change while a client lives: a settings file that is mounted is written anew when its keys are.

Owns reading the settings again when a server refuses the keys, and signing with those that stand there now. Keys that
boto3 finds by itself (instance roles, web identities, profiles) it renews by itself. Does not judge why keys are
refused.
"""

import threading
from typing import Any

from textinv.errors import SettingsError
from textinv.settings import StoreSettings, load_settings

_REFUSED = (400, 401, 403)
_OF_KEYS = (b"ExpiredToken", b"InvalidAccessKeyId", b"SignatureDoesNotMatch", b"InvalidToken", b"AccessDenied")


def attach_keys(client: Any, settings: StoreSettings) -> None:
    """Let a client whose keys come from the settings take those that stand there when the server refuses its own."""
    if settings.access_key is not None:
        client.meta.events.register_first("needs-retry.s3", _Renewal(client, settings).needs_retry)


class _Renewal:
    def __init__(self, client: Any, settings: StoreSettings) -> None:
        self._credentials = client._request_signer._credentials
        self._settings = settings
        self._lock = threading.Lock()

    def needs_retry(self, response: Any, **_: Any) -> float | None:
        """Seconds until a refused request is signed and sent again: at once, when there are other keys."""
        if response is None or response[0].status_code not in _REFUSED:
            return None
        if response[0].content and not any(code in response[0].content for code in _OF_KEYS):
            return None
        with self._lock:
            return 0.0 if self._has_changed() else None

    def _has_changed(self) -> bool:
        try:
            found = load_settings().settings.store
        except SettingsError:  # it is being written at this moment
            return False
        here, mine = self._credentials, self._settings
        is_there = (found.endpoint_url, found.bucket, found.prefix) == (mine.endpoint_url, mine.bucket, mine.prefix)
        if not is_there or found.access_key is None or found.secret_key is None:
            return False
        keys = found.access_key, found.secret_key.get_secret_value()
        if keys == (here.access_key, here.secret_key):
            return False
        here.access_key, here.secret_key = keys
        return True
