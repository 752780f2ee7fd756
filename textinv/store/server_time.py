"""The time by a store's own clock, which all its objects are dated by: this machine's may be wrong by any amount."""

import secrets
from datetime import datetime

from textinv.store.protocol import ObjectStore

_KEY = "index/clock"


def server_time(store: ObjectStore) -> datetime:
    """Ask the store for its time, by writing an object and looking at its date."""
    store.put(_KEY, secrets.token_bytes(8))
    return next(info.modified for info in store.list(_KEY) if info.key == _KEY)
