"""Objects by key: the protocol, S3 through boto3, the embedded S3 server, and a store in memory.

Below the registry, the queue and the pictures of jobs; knows nothing of what the objects mean. Open `protocol.py`
first: it says what every store does.
"""

from textinv.store.connect import connect_store, ensure_store
from textinv.store.embedded import EmbeddedServer, ServerStatus
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectInfo, ObjectStore, StoredObject, check_key
from textinv.store.s3 import S3Store

__all__ = [
    "EmbeddedServer",
    "MemoryStore",
    "ObjectInfo",
    "ObjectStore",
    "S3Store",
    "ServerStatus",
    "StoredObject",
    "check_key",
    "connect_store",
    "ensure_store",
]
