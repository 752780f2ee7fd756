"""Answers by `Idempotency-Key`: a request that is sent again gets the answer of the first, which ran on meanwhile.

Owns what is under way on this front, and finished answers, which lie in the store so that every front finds them.
Knows no HTTP beyond a status, headers and bytes.
"""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable

from pydantic import BaseModel, ConfigDict, ValidationError

from services.pruning import REPLIES, day_of
from textinv.errors import ObjectNotFoundError, RequestError, StoreError
from textinv.store.protocol import JSON, ObjectStore

log = logging.getLogger(__name__)

KEPT_S = 24 * 3600.0


class Reply(BaseModel):
    """An answer, and the hash of what was asked."""

    model_config = ConfigDict(frozen=True)

    asked_sha256: str
    headers: dict[str, str]
    content: str
    """Base64."""
    media_type: str
    created: float

    @property
    def body(self) -> bytes:
        """The bytes of the answer."""
        return base64.b64decode(self.content)


def make_reply(asked: bytes, body: bytes, media_type: str, headers: dict[str, str]) -> Reply:
    """Make the answer to what was asked."""
    return Reply(
        asked_sha256=_sha256(asked),
        headers=headers,
        content=base64.b64encode(body).decode(),
        media_type=media_type,
        created=time.time(),
    )


class Replies:
    """Answers under way and remembered."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._under_way: dict[str, tuple[str, asyncio.Future[Reply]]] = {}

    async def once(self, caller: str, key: str, asked: bytes, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """Answer a request by doing `work`, unless it was or is being done; it runs on when the caller leaves.

        Failures are not remembered.

        Raises:
            RequestError: the key was used for another request.
            TextinvError: as `work`.
        """
        name, digest = _sha256(f"{caller}\n{key}".encode()), _sha256(asked)
        under_way = self._under_way.get(name)
        if under_way is None:
            task = asyncio.ensure_future(self._find_or_do(name, work))
            self._under_way[name] = under_way = digest, task
            task.add_done_callback(lambda done: self._landed(name, done))
        if under_way[0] != digest:
            raise _other_request(key)
        reply = await asyncio.shield(under_way[1])
        if reply.asked_sha256 != digest:
            raise _other_request(key)
        return reply

    async def _find_or_do(self, name: str, work: Callable[[], Awaitable[Reply]]) -> Reply:
        known = await asyncio.to_thread(self._read, name)
        if known is not None:
            return known
        reply = await work()
        await asyncio.to_thread(self._write, name, reply)
        return reply

    def _landed(self, name: str, done: asyncio.Future[Reply]) -> None:
        self._under_way.pop(name, None)
        if not done.cancelled():
            done.exception()  # seen, even when every caller has left

    def _read(self, name: str) -> Reply | None:
        now = time.time()
        for day in (day_of(now), day_of(now - KEPT_S)):
            try:
                reply = Reply.model_validate_json(self._store.get(f"{REPLIES}{day}/{name}").body)
            except (ObjectNotFoundError, ValidationError):
                continue
            if now - reply.created < KEPT_S:
                return reply
        return None

    def _write(self, name: str, reply: Reply) -> None:
        try:
            self._store.put(f"{REPLIES}{day_of(reply.created)}/{name}", reply.model_dump_json().encode(), JSON)
        except StoreError as error:
            log.warning("an answer could not be remembered: %s", error)


def _other_request(key: str) -> RequestError:
    return RequestError(
        f"the Idempotency-Key {key[:80]!r} was used for another request; take a new one", param="Idempotency-Key"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
