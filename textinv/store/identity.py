"""Which store this is: a random id that is written into it once, however it is reached.

Owns that id. The same server is reached by several addresses, and an address may lead to another server tomorrow, so
nothing that tells stores apart may go by addresses. Bucket and prefix belong to it, as a copy of a store has its id.
"""

import hashlib
import secrets
from contextlib import suppress

from textinv.errors import CorruptObjectError, ObjectNotFoundError, StoreConflictError
from textinv.store.s3 import S3Store

_KEY = "index/identity"
_NUM_BYTES = 16


def store_identity(store: S3Store) -> str:
    """The store's name among all stores: letters and digits, the same for everybody; made up when it has none yet.

    Raises:
        CorruptObjectError: what is written there is no id.
        StoreError: the store cannot be asked, or it has no id and may not be written.
    """
    try:
        found = store.get(_KEY).body
    except ObjectNotFoundError:
        with suppress(StoreConflictError):  # somebody else was as fast
            store.create(_KEY, secrets.token_hex(_NUM_BYTES).encode())
        found = store.get(_KEY).body
    if len(found) != 2 * _NUM_BYTES or not found.isalnum():
        raise CorruptObjectError(
            f"{_KEY} is not a valid id of the store: delete it, and the store gets a new one", key=_KEY
        )
    where = f"{store.settings.bucket}/{store.settings.prefix.strip('/')}"
    return hashlib.sha256(found + where.encode()).hexdigest()[:16]
