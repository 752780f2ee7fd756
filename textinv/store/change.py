"""Reading an object, changing it and writing it, so that of two who do so at once neither change is lost.

Owns trying again. Whoever writes what was made of what was read goes this way: a plain `put` would overwrite what came
in between.
"""

import random
import time
from collections.abc import Callable

from textinv.errors import ObjectNotFoundError, StoreConflictError
from textinv.store.protocol import JSON, ObjectStore, StoredObject

_MAX_TRIES = 30


def change(
    store: ObjectStore, key: str, make: Callable[[bytes | None], bytes | None], content_type: str = JSON
) -> bytes | None:
    """Replace an object by `make` of it, made again when somebody else was faster; what is there in the end.

    `make` is given None where there is no object, and gives None to leave things as they are.

    Raises:
        StoreConflictError: others were faster every time.
    """
    for attempt in range(_MAX_TRIES):
        before = _read(store, key)
        body = make(None if before is None else before.body)
        if body is None or (before is not None and body == before.body):
            return None if before is None else before.body
        try:
            if before is None:
                store.create(key, body, content_type)
            else:
                store.swap(key, body, before.etag, content_type)
        except StoreConflictError:
            time.sleep(random.uniform(0, min(0.5, 0.01 * 2**attempt)))
        else:
            return body
    raise StoreConflictError(f"{key} is being changed by many others at once: try again", key=key)


def _read(store: ObjectStore, key: str) -> StoredObject | None:
    try:
        return store.get(key)
    except ObjectNotFoundError:
        return None
