"""What the store keeps for an `Idempotency-Key`: first the claim of the front that answers, then its answer.

Owns the one object that is both, and the conditional writes by which one front at a time holds it. Knows neither what
an answer holds nor how long a front may be silent.
"""

import time
import uuid
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from services.answers.pruning import REPLIES, day_of
from textinv.errors import ObjectNotFoundError, StoreConflictError
from textinv.store.protocol import JSON, ObjectStore

# The clocks of fronts may differ by this.
_SKEW_S = 600.0


class Claim(BaseModel):
    """That a front does what was asked; as long as it does, it writes this anew with the next `beat`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    asked_sha256: str
    owner: str
    """A name of this claim alone; empty: it was given up."""
    beat: int = 0


class Kept(NamedTuple):
    """An object as it was read: a claim, or (`claim` None) the bytes of an answer."""

    key: str
    etag: str
    claim: Claim | None
    body: bytes

    @property
    def taken(self) -> bool:
        """Whether it is the claim of a front that has not given it up."""
        return self.claim is not None and self.claim.owner != ""


class Held(NamedTuple):
    """A claim of ours, as it was written last."""

    key: str
    etag: str
    claim: Claim


class Claims:
    """Claims and answers in a store; every method waits for it and may raise `StoreError`."""

    def __init__(self, store: ObjectStore, kept_s: float, clock: Callable[[], float] = time.time) -> None:
        """`kept_s`: how old an answer may be that is still looked for."""
        self._store = store
        self._kept_s = kept_s
        self._clock = clock

    def find(self, name: str) -> list[Kept]:
        """Read what is there of a name, the newest day first."""
        now = self._clock()
        days = dict.fromkeys(day_of(at) for at in (now + _SKEW_S, now, now - self._kept_s))
        return [found for day in days if (found := self._read(_key(day, name))) is not None]

    def take(self, name: str, asked_sha256: str, found: Sequence[Kept]) -> Held | None:
        """Claim a name for which nothing was `found` that is of use; None when another front was faster."""
        now = self._clock()
        key, claim = _key(day_of(now), name), Claim(asked_sha256=asked_sha256, owner=uuid.uuid4().hex)
        try:
            if found and found[0].key >= key:
                held = Held(found[0].key, self._store.swap(found[0].key, _bytes(claim), found[0].etag, JSON), claim)
            else:
                held = Held(key, self._store.create(key, _bytes(claim), JSON), claim)
        except StoreConflictError:
            return None
        # Around midnight two fronts may claim one name on two days; whoever sees the other's claim gives way.
        known = {held.etag, *(one.etag for one in found)}
        is_near_midnight = day_of(now - _SKEW_S) != day_of(now + _SKEW_S)
        if is_near_midnight and any(one.etag not in known for one in self.find(name)):
            self.give_up(held)
            return None
        return held

    def renew(self, held: Held) -> Held | None:
        """Write a claim anew; None when another front has taken it over."""
        claim = held.claim.model_copy(update={"beat": held.claim.beat + 1})
        return self._replace(held, claim)

    def give_up(self, held: Held) -> None:
        """Let the next one have it."""
        self._replace(held, held.claim.model_copy(update={"owner": ""}))

    def finish(self, held: Held, answer: bytes) -> bool:
        """Put the answer in the place of the claim; False when another front has taken that over."""
        try:
            self._store.swap(held.key, answer, held.etag, JSON)
        except StoreConflictError:
            return False
        return True

    def _replace(self, held: Held, claim: Claim) -> Held | None:
        try:
            return Held(held.key, self._store.swap(held.key, _bytes(claim), held.etag, JSON), claim)
        except StoreConflictError:
            return None

    def _read(self, key: str) -> Kept | None:
        try:
            body, etag = self._store.get(key)
        except ObjectNotFoundError:
            return None
        try:
            return Kept(key, etag, Claim.model_validate_json(body), b"")
        except ValidationError:
            return Kept(key, etag, None, body)


def _key(day: str, name: str) -> str:
    return f"{REPLIES}{day}/{name}"


def _bytes(claim: Claim) -> bytes:
    return claim.model_dump_json().encode()
