"""Answers by `Idempotency-Key`: a request that is sent again gets the answer of the first, which ran on meanwhile.

Owns what is under way on this front, and the one object a key has in the store, so that every front finds it: first the
claim of the front that answers, then its answer. A front that dies stops renewing its claim, and another one takes it
over by a conditional write. Knows no HTTP beyond a status, headers and bytes.
"""

import asyncio
import base64
import hashlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from services.answers.pruning import REPLIES, day_of
from textinv.errors import ObjectNotFoundError, RequestError, StoreConflictError, StoreError
from textinv.store.protocol import JSON, ObjectStore

log = logging.getLogger(__name__)

_KEPT_S = 24 * 3600.0
_BEAT_S = 2.0
# In beats: how often a front that waits looks, how long a claim may stay as it is until its front counts as dead, and
# how long may lie between two looks, since a front that could not look cannot say that nothing happened meanwhile.
_LOOK_EVERY, _SILENT, _BLIND = 0.125, 5.0, 2.0
# The clocks of fronts may differ by this.
_SKEW_S = 600.0


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


class _Claim(BaseModel):
    """That a front does what was asked; as long as it does, it writes this anew with the next `beat`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked_sha256: str
    owner: str
    """A name of this claim alone; empty: it was given up."""
    beat: int = 0


_CONTENTS: TypeAdapter[_Claim | Reply] = TypeAdapter(_Claim | Reply)


class _Kept(NamedTuple):
    """The object of a key as it was last read or written; `holds` None: something that cannot be read."""

    key: str
    etag: str
    holds: _Claim | Reply | None


class Replies:
    """Answers under way and remembered."""

    def __init__(self, store: ObjectStore, beat_s: float = _BEAT_S, clock: Callable[[], float] = time.time) -> None:
        """`beat_s`: seconds between signs of life of what is under way; five may be missed until another front begins.

        `clock` tells the day under which answers are kept.
        """
        self._store = store
        self._beat_s = beat_s
        self._clock = clock
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
            found = await asyncio.to_thread(self._find, name)
            for one in found:
                if isinstance(one.holds, Reply) and time.time() - one.holds.created < _KEPT_S:
                    return one.holds
            alive = [one.holds for one in found if isinstance(one.holds, _Claim) and not watch.is_silent(one)]
            claim = next((one for one in alive if one.owner), None)
            if claim is None:
                held = await asyncio.to_thread(self._take, name, digest, found)
                if held is not None and (reply := await self._do(held, work)) is not None:
                    return reply
            elif claim.asked_sha256 != digest:
                raise _other_request(key)
            else:
                await asyncio.sleep(_LOOK_EVERY * self._beat_s)

    async def _do(self, held: _Kept, work: Callable[[], Awaitable[Reply]]) -> Reply | None:
        """Do the work that a claim of ours is for; None when it was taken over meanwhile."""
        claim = held.holds
        assert isinstance(claim, _Claim)
        working = asyncio.ensure_future(work())
        try:
            while not (await asyncio.wait({working}, timeout=self._beat_s))[0]:
                claim = claim.model_copy(update={"beat": claim.beat + 1})
                renewed = await asyncio.to_thread(self._replace, held, claim)
                if renewed is None:
                    working.cancel()
                    return None
                held = renewed
            reply = working.result()
        except BaseException:
            working.cancel()
            await asyncio.to_thread(self._replace, held, claim.model_copy(update={"owner": ""}))
            raise
        return None if await asyncio.to_thread(self._replace, held, reply) is None else reply

    def _find(self, name: str) -> list[_Kept]:
        """Read what is there of a name, the newest day first."""
        now = self._clock()
        days = dict.fromkeys(day_of(at) for at in (now + _SKEW_S, now, now - _KEPT_S))
        return [found for day in days if (found := self._read(f"{REPLIES}{day}/{name}")) is not None]

    def _read(self, key: str) -> _Kept | None:
        try:
            body, etag = self._store.get(key)
        except ObjectNotFoundError:
            return None
        try:
            return _Kept(key, etag, _CONTENTS.validate_json(body))
        except ValidationError:
            return _Kept(key, etag, None)

    def _take(self, name: str, digest: str, found: Sequence[_Kept]) -> _Kept | None:
        """Claim a name for which nothing was `found` that is of use; None when another front was faster."""
        now = self._clock()
        key, claim = f"{REPLIES}{day_of(now)}/{name}", _Claim(asked_sha256=digest, owner=uuid.uuid4().hex)
        body = claim.model_dump_json().encode()
        try:
            if found and found[0].key >= key:
                held = _Kept(found[0].key, self._store.swap(found[0].key, body, found[0].etag, JSON), claim)
            else:
                held = _Kept(key, self._store.create(key, body, JSON), claim)
        except StoreConflictError:
            return None
        # Around midnight two fronts may claim one name on two days; whoever sees the other's claim gives way.
        known = {held.etag, *(one.etag for one in found)}
        is_near_midnight = day_of(now - _SKEW_S) != day_of(now + _SKEW_S)
        if is_near_midnight and any(one.etag not in known for one in self._find(name)):
            self._replace(held, claim.model_copy(update={"owner": ""}))
            return None
        return held

    def _replace(self, held: _Kept, by: _Claim | Reply) -> _Kept | None:
        """Write in the place of a claim of ours; None when another front has taken it over.

        A store that does not answer is not waited for: the others will not know, and what is under way goes on.
        """
        try:
            return _Kept(held.key, self._store.swap(held.key, by.model_dump_json().encode(), held.etag, JSON), by)
        except StoreConflictError:
            return None
        except StoreError as error:
            log.warning("how far a request with an Idempotency-Key is could not be told to other fronts: %s", error)
            return held

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

    def is_silent(self, claim: _Kept) -> bool:
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


def _other_request(key: str) -> RequestError:
    return RequestError(
        f"the Idempotency-Key {key[:80]!r} was used for another request; use a new one", param="Idempotency-Key"
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
