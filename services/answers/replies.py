"""Answers by `Idempotency-Key`: a request that is sent again gets the answer of the first, which ran on meanwhile.

Owns what is under way on this front, and waiting for what is under way on others; claims and answers lie in the store,
so that every front finds them. Knows no HTTP beyond a status, headers and bytes.
"""

import asyncio
import base64
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from services.answers.claims import Claims, Held, Kept
from textinv.errors import RequestError, StoreError
from textinv.store.protocol import ObjectStore

log = logging.getLogger(__name__)

KEPT_S = 24 * 3600.0
BEAT_S = 2.0
# In beats: how often a front that waits looks, how long a claim may stay as it is until its front counts as dead, and
# how long may lie between two looks, since a front that could not look cannot say that nothing happened meanwhile.
_LOOK_EVERY, _SILENT, _BLIND = 0.125, 5.0, 2.0


class Reply(BaseModel):
    """An answer, and the hash of what was asked."""

    model_config = ConfigDict(frozen=True)

    asked_sha256: str
    headers: dict[str, str]
    content: str
    """Base64."""
    media_type: str
    created: float
    pictures: tuple[str, ...] = ()
    """Keys of the objects whose URLs belong into the answer each time it is given: URLs expire, answers are kept."""

    @property
    def body(self) -> bytes:
        """The bytes of the answer."""
        return base64.b64decode(self.content)


def make_reply(
    asked: bytes, body: bytes, media_type: str, headers: dict[str, str], pictures: Sequence[str] = ()
) -> Reply:
    """Make the answer to what was asked."""
    return Reply(
        asked_sha256=_sha256(asked),
        headers=headers,
        content=base64.b64encode(body).decode(),
        media_type=media_type,
        created=time.time(),
        pictures=tuple(pictures),
    )


def seed_of(caller: str, key: str, below: int) -> int:
    """Derive the seed of a request that states none, below a bound: whoever draws it again draws the same picture."""
    return int(_sha256(f"seed\n{caller}\n{key}".encode()), 16) % below


class Replies:
    """Answers under way and remembered."""

    def __init__(self, store: ObjectStore, beat_s: float = BEAT_S, clock: Callable[[], float] = time.time) -> None:
        """`beat_s`: seconds between signs of life of what is under way; five may be missed until another front begins.

        `clock` tells the day under which answers are kept.
        """
        self._claims = Claims(store, KEPT_S, clock)
        self._beat_s = beat_s
        self._under_way: dict[str, tuple[str, asyncio.Future[Reply]]] = {}

    async def once(self, caller: str, key: str, asked: bytes, work: Callable[[], Awaitable[Reply]]) -> Reply:
        """Answer a request by doing `work`, unless it was or is being done; it runs on when the caller leaves.

        That holds for all fronts; of one that dies another takes over. Failures are not remembered.

        Raises:
            RequestError: the key was used for another request.
            TextinvError: as `work`.
        """
        name, digest = _sha256(f"{caller}\n{key}".encode()), _sha256(asked)
        under_way = self._under_way.get(name)
        if under_way is None:
            task = asyncio.ensure_future(self._find_or_do(name, digest, key, work))
            self._under_way[name] = under_way = digest, task
            task.add_done_callback(lambda done: self._landed(name, done))
        if under_way[0] != digest:
            raise _other_request(key)
        reply = await asyncio.shield(under_way[1])
        if reply.asked_sha256 != digest:
            raise _other_request(key)
        return reply

    async def _find_or_do(self, name: str, digest: str, key: str, work: Callable[[], Awaitable[Reply]]) -> Reply:
        watch = _Watch(self._beat_s)
        while True:
            found = await asyncio.to_thread(self._claims.find, name)
            if (known := next(filter(None, map(_reply_in, found)), None)) is not None:
                return known
            alive = next((one for one in found if one.taken and not watch.is_silent(one)), None)
            if alive is not None and alive.claim is not None:
                if alive.claim.asked_sha256 != digest:
                    raise _other_request(key)
                await asyncio.sleep(_LOOK_EVERY * self._beat_s)
                continue
            held = await asyncio.to_thread(self._claims.take, name, digest, found)
            if held is not None and (reply := await self._do(held, work)) is not None:
                return reply

    async def _do(self, held: Held, work: Callable[[], Awaitable[Reply]]) -> Reply | None:
        """Do the work that a claim of ours is for; None when it was taken over meanwhile."""
        working = asyncio.ensure_future(work())
        try:
            while not (await asyncio.wait({working}, timeout=self._beat_s))[0]:
                renewed = await asyncio.to_thread(self._renewed, held)
                if renewed is None:
                    working.cancel()
                    return None
                held = renewed
            reply = working.result()
        except BaseException:
            working.cancel()
            await asyncio.to_thread(self._give_up, held)
            raise
        return reply if await asyncio.to_thread(self._finished, held, reply) else None

    def _renewed(self, held: Held) -> Held | None:
        try:
            return self._claims.renew(held)
        except StoreError as error:
            log.warning("what is under way could not be told to other fronts: %s", error)
            return held

    def _finished(self, held: Held, reply: Reply) -> bool:
        try:
            return self._claims.finish(held, reply.model_dump_json().encode())
        except StoreError as error:
            log.warning("an answer could not be remembered: %s", error)
            return True

    def _give_up(self, held: Held) -> None:
        try:
            self._claims.give_up(held)
        except StoreError as error:
            log.warning("that a request failed could not be told to other fronts: %s", error)

    def _landed(self, name: str, done: asyncio.Future[Reply]) -> None:
        self._under_way.pop(name, None)
        if not done.cancelled():
            done.exception()  # seen, even when every caller has left


class _Watch:
    """Tells claims that are renewed from those of fronts that are dead, by this front's own clock."""

    def __init__(self, beat_s: float) -> None:
        self._beat_s = beat_s
        self._since: dict[str, tuple[str, float]] = {}
        self._looked_at = 0.0

    def is_silent(self, claim: Kept) -> bool:
        """Whether a claim has stayed as it is for too long; asked at every look."""
        now = time.monotonic()
        if now - self._looked_at > _BLIND * self._beat_s:
            self._since.clear()
        self._looked_at = now
        etag, since = self._since.get(claim.key, ("", now))
        if etag != claim.etag:
            since = now
        self._since[claim.key] = claim.etag, since
        return now - since >= _SILENT * self._beat_s


def _reply_in(kept: Kept) -> Reply | None:
    """The answer that an object holds, if it is one that may still be given."""
    if kept.claim is not None:
        return None
    try:
        reply = Reply.model_validate_json(kept.body)
    except ValidationError:
        return None
    return reply if time.time() - reply.created < KEPT_S else None


def _other_request(key: str) -> RequestError:
    return RequestError(
        f"the Idempotency-Key {key[:80]!r} was used for another request; take a new one", param="Idempotency-Key"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
