"""Concepts whose pictures a tenant lets the guess learn from, and those that were taken back.

    shares/given/<base>/<name>~<id>.json       whose pictures these are, and which
    shares/withdrawn/<base>/<name>~<id>.json   why they may not be learned from any more

Owns these objects. What is withdrawn counts, whatever else lies there: it is written first, so that a withdrawal that
was cut short holds, and a guess that learned from the concept is stale from that moment on. Does not know jobs, keys,
nor how a guess learns.
"""

import hashlib
import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from textinv.errors import ObjectNotFoundError
from textinv.spec import Kind, TrainSpec
from textinv.store.protocol import JSON, ObjectStore, side_by_side

OPERATOR = "operator"
"""The tenant of whoever works with the store itself, without an API key."""
TAKEN_BACK = "taken back by hand"
NOT_SAID = "submitted again without `share_with_guess: true`"
OPTED_OUT = "their tenant opted out"
PURGED = "their pictures were purged"
_GIVEN, _WITHDRAWN = "shares/given/", "shares/withdrawn/"
_BASE_DIGITS = _ID_DIGITS = 16
_FEW = 8
"""Names that are asked for one by one; of more, all are listed."""


class SharedPicture(BaseModel):
    """A picture and what it shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    digest: str
    caption: str | None = None


class Share(BaseModel):
    """A concept that the guess may learn from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    concept: str
    kind: Kind
    tenant: str
    job: str = ""
    """The job that it was submitted with; empty: it was shared afterwards."""
    base_model: str
    base_revision: str
    pictures: tuple[SharedPicture, ...]

    @classmethod
    def of(cls, spec: TrainSpec, tenant: str, job: str = "") -> "Share":
        """The share of a spec's pictures."""
        return cls(
            concept=spec.name,
            kind=spec.kind,
            tenant=tenant,
            job=job,
            base_model=spec.base_model,
            base_revision=spec.base_revision,
            pictures=tuple(SharedPicture(digest=one.digest, caption=one.caption) for one in spec.pictures),
        )

    @property
    def id(self) -> str:
        """What a guess knows it by: the name and a hash of everything."""
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()
        return f"{self.concept}~{digest[:_ID_DIGITS]}"

    @property
    def digests(self) -> frozenset[str]:
        """Digests of its pictures."""
        return frozenset(one.digest for one in self.pictures)


class Withdrawal(NamedTuple):
    """Why a concept may not be learned from any more, and since when."""

    why: str
    when: str


def give(store: ObjectStore, share: Share) -> None:
    """Let the guess learn from a concept, also where that was taken back before."""
    store.put(_key(_GIVEN, share.base_revision, share.id), share.model_dump_json().encode(), JSON)
    store.delete([_key(_WITHDRAWN, share.base_revision, share.id)])


def withdraw(store: ObjectStore, shares: Iterable[Share], why: str) -> int:
    """Take concepts back; how many these were. Guesses that learned from them are stale from now on."""
    body = json.dumps(Withdrawal(why, time.strftime("%FT%TZ", time.gmtime()))._asdict()).encode()

    def one(share: Share) -> None:
        store.put(_key(_WITHDRAWN, share.base_revision, share.id), body, JSON)
        store.delete([_key(_GIVEN, share.base_revision, share.id)])

    return sum(1 for _ in side_by_side(one, shares))


def shares(
    store: ObjectStore, base_revision: str | None = None, names: Collection[str] | None = None
) -> Sequence[Share]:
    """What the guess of a base model (None: of any) may learn from; of these concepts only, if names are given."""
    found = list(_listed(store, base_revision, names))
    gone = set(_ids(store, _WITHDRAWN, base_revision)) if found else set()
    read = side_by_side(lambda key: _read(store, key), [key for key in found if _tail(key) not in gone])
    return [share for share in read if share is not None]


def withdrawals(store: ObjectStore, base_revision: str, ids: Collection[str]) -> Sequence[Withdrawal]:
    """Which of these were taken back, as far as it can be read why."""
    gone = sorted(set(_ids(store, _WITHDRAWN, base_revision)).intersection(ids))
    return list(side_by_side(lambda one: _why(store, _key(_WITHDRAWN, base_revision, one)), gone))


def _listed(store: ObjectStore, base_revision: str | None, names: Collection[str] | None) -> Iterator[str]:
    if base_revision is not None and names is not None and len(names) <= _FEW:
        starts = [_key(_GIVEN, base_revision, f"{name}~").removesuffix(".json") for name in sorted(set(names))]
        yield from (info.key for found in side_by_side(lambda one: list(store.list(one)), starts) for info in found)
        return
    for info in store.list(_start(_GIVEN, base_revision)):
        if names is None or _tail(info.key).rpartition("~")[0] in names:
            yield info.key


def _ids(store: ObjectStore, place: str, base_revision: str | None) -> Iterator[str]:
    return (_tail(info.key) for info in store.list(_start(place, base_revision)))


def _read(store: ObjectStore, key: str) -> Share | None:
    try:
        return Share.model_validate_json(store.get(key).body)
    except ObjectNotFoundError:
        return None  # taken back since it was listed


def _why(store: ObjectStore, key: str) -> Withdrawal:
    try:
        return Withdrawal(**json.loads(store.get(key).body))
    except (ObjectNotFoundError, ValueError, TypeError):
        return Withdrawal("nobody knows why", "")


def _start(place: str, base_revision: str | None) -> str:
    return place if base_revision is None else f"{place}{base_revision[:_BASE_DIGITS]}/"


def _key(place: str, base_revision: str, share_id: str) -> str:
    return f"{_start(place, base_revision)}{share_id}.json"


def _tail(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")
