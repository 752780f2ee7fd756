"""Guesses in the store: networks that predict a concept's first rows on one base model.

    guesses/<digest>.safetensors     a guess: immutable, named by the digest of its bytes
    guesses/<digest>.json            its record, to be listed without reading the weights
    guesses/current/<base>.json      which one is current for a base model, and which ones were, each with the work of
                                     the fleet that it came from, if any; swapped

Owns these objects and the record. A spec names a guess by its digest, so that what is published later changes no spec.
A guess that learned from what was withdrawn since is stale, which is asked anew each time: nothing needs to be marked,
so nothing can be forgotten. Does not know the network.
"""

import hashlib
import json
import struct
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from textinv.errors import CorruptObjectError, InputError, ObjectNotFoundError, in_a_line
from textinv.registry.shares import withdrawals
from textinv.spec import Kind
from textinv.store.change import change
from textinv.store.protocol import JSON, ObjectStore

GUESSES = "guesses/"
NOT_PUBLISHED = "it is not published; train it on more concepts, or for more --steps"
"""What becomes of one that is no better than words."""
_CURRENT = f"{GUESSES}current/"
RECORD_FIELD = "record"
"""Where the record stands in the metadata of the file."""
_BASE_DIGITS = 16
_MOST_HEADER_BYTES = 10_000_000


class LearnedFrom(BaseModel):
    """A shared concept that a guess was trained on."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    share: str
    """The share's id."""
    tenant: str
    pictures: tuple[str, ...]
    """Digests."""


class GuessRecord(BaseModel):
    """How a guess came to be, and what it was found to be worth."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    base_model: str
    base_revision: str
    encoder: str
    """The image encoder that it sees through: the folder's name, or what stands for the base model's own."""
    encoder_digest: str | None = None
    """SHA-256 over the encoder's weights, hex; None: the base model's own CLIP."""
    shape: Mapping[str, Any]
    """What the network is built from."""
    kinds: tuple[Kind, ...]
    """The kinds of concepts for which it is better than ranked words: `init: auto` starts no others from it."""
    concepts: int
    """How many it was trained on."""
    source: str
    """What these were."""
    steps: int
    sample_passes: int
    held_out: Mapping[str, Any] = {}
    """What it is worth on concepts that it was not trained on."""
    made: str
    shares: tuple[LearnedFrom, ...] = ()
    """Those of the concepts that tenants shared."""


@dataclass(frozen=True)
class GuessFile:
    """A guess as it is stored."""

    record: GuessRecord
    data: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the bytes, hex."""
        return hashlib.sha256(self.data).hexdigest()


def read_guess(data: bytes, where: str) -> GuessFile:
    """Read the record of a guess out of its bytes.

    Raises:
        CorruptObjectError: these are none.
    """
    try:
        (size,) = struct.unpack("<Q", data[:8])
        if size > _MOST_HEADER_BYTES:
            raise ValueError(f"a header of {size} bytes")
        header = json.loads(data[8 : 8 + size])
        return GuessFile(GuessRecord.model_validate_json(header["__metadata__"][RECORD_FIELD]), data)
    except (struct.error, ValueError, KeyError, TypeError, ValidationError) as error:
        raise CorruptObjectError(
            f"{where} holds no guess ({in_a_line(error)}): train it again, `textinv guess train`"
        ) from error


def guess_key(digest: str) -> str:
    """Where a guess lies."""
    return f"{GUESSES}{digest}.safetensors"


def put_guess(store: ObjectStore, guess: GuessFile) -> None:
    """Put a guess into the store, from where specs that name it can be learned; it becomes nobody's current one."""
    if not store.exists(_record_key(guess.digest)):
        store.put(guess_key(guess.digest), guess.data)
        store.put(_record_key(guess.digest), guess.record.model_dump_json().encode(), JSON)


def publish_guess(store: ObjectStore, guess: GuessFile, work: str = "") -> None:
    """Make a guess the current one of its base model; the ones before it stay.

    `work` is the fingerprint of what the fleet was asked for: of that, one guess is published, whoever trains it again.

    Raises:
        InputError: what it learned from was withdrawn in the meantime.
    """
    if why := why_stale(store, guess.record):
        raise InputError(stale_text(guess.digest, guess.record.base_model, why))
    base_revision = guess.record.base_revision
    if work and published_by(store, base_revision, work):
        return
    put_guess(store, guess)
    entry = {"digest": guess.digest, "published": time.strftime("%FT%TZ", time.gmtime())}
    entry |= {"work": work} if work else {}

    def added(body: bytes | None) -> bytes | None:
        entries = _entries(body)
        return None if work and _of_work(entries, work) else _written([*entries, entry])

    change(store, _current_key(base_revision), added)


def published_by(store: ObjectStore, base_revision: str, work: str) -> str | None:
    """The digest of the guess that a piece of the fleet's work became; None where it did not, or it was removed."""
    return _of_work(_published(store, _current_key(base_revision)), work)


def published_works(store: ObjectStore) -> set[str]:
    """All pieces of the fleet's work that became guesses."""
    keys = [info.key for info in store.list(_CURRENT)]
    return {entry["work"] for key in keys for entry in _published(store, key) if "work" in entry}


def current_guess(store: ObjectStore, base_revision: str) -> str | None:
    """The digest of a base model's current guess, if it may be used."""
    newest = newest_guess(store, base_revision)
    return None if newest is None or newest.stale else newest.digest


def newest_guess(store: ObjectStore, base_revision: str) -> "ListedGuess | None":
    """A base model's current guess, whether it may be used or not.

    Raises:
        CorruptObjectError: its record cannot be read.
    """
    digest = _current_digest(store, base_revision)
    return None if digest is None else _listed(store, digest, {base_revision: digest})


def why_stale(store: ObjectStore, record: GuessRecord) -> str | None:
    """Why a guess may not be used any more, if it learned from what was withdrawn since."""
    return why_withdrawn(store, record.base_revision, {one.share for one in record.shares})


def why_withdrawn(store: ObjectStore, base_revision: str, shares: Collection[str]) -> str | None:
    """Why a guess that learned from these shares may not be used, if some were taken back."""
    gone = withdrawals(store, base_revision, shares) if shares else ()
    reasons = ", ".join(f"{why} ({count})" for why, count in sorted(Counter(one.why for one in gone).items()))
    of = len(shares)
    return f"{len(gone)} of the {of} concepts that it learned from were withdrawn: {reasons}" if gone else None


def check_usable(store: ObjectStore, guess: GuessFile) -> None:
    """Check that concepts may be guessed with a guess that is read from the store.

    Raises:
        InputError: it is stale.
    """
    if why := why_stale(store, guess.record):
        raise InputError(f"{stale_text(guess.digest, guess.record.base_model, why)}, and submit the manifest again")


def stale_text(digest: str, base_model: str, why: str) -> str:
    """What is wrong with a stale guess, and what to do."""
    return f"the guess {digest[:12]} is stale, as {why}. Train it anew (`textinv guess train --base {base_model}`)"


def worth_text(digest: str, record: GuessRecord) -> str:
    """What a guess was found to be worth, in a sentence."""
    found = record.held_out
    losses = found["loss"]
    return (
        f"guess {digest[:12]} for {record.base_model}: on {found['concepts']} concepts that it has not "
        f"seen its loss is {losses['guess']:.4f}, that of ranked words {losses['words']:.4f} (better by "
        f"{found['better']:.4f}, at least {found['at_least']:.4f} beyond chance), the likeness "
        f"of what it draws {found['likeness']['guess']:.3f}, theirs {found['likeness']['words']:.3f}; better for "
        f"{' and '.join(f'{kind}s' for kind in record.kinds) or 'neither objects nor styles'}"
    )


def load_guess(store: ObjectStore, digest: str) -> GuessFile:
    """Read a guess.

    Raises:
        InputError: it was removed.
        CorruptObjectError: it is not what was written.
    """
    try:
        guess = read_guess(store.get(guess_key(digest)).body, guess_key(digest))
    except ObjectNotFoundError:
        raise InputError(
            f"the guess {digest[:12]} is not in the store any more: submit the manifest again, with another `init`"
        ) from None
    if guess.digest != digest:
        raise CorruptObjectError(f"{guess_key(digest)} holds other bytes than were written: remove and train it again")
    return guess


@dataclass(frozen=True)
class ListedGuess:
    """A guess of the store, without its weights."""

    digest: str
    record: GuessRecord
    is_current: bool
    stale: str | None = None
    """Why it may not be used."""


def list_guesses(store: ObjectStore) -> Iterator[ListedGuess]:
    """All guesses, oldest first.

    Raises:
        CorruptObjectError: a record cannot be read.
    """
    current: dict[str, str | None] = {}
    found = [_listed(store, digest, current) for digest in _digests(store)]
    yield from sorted(found, key=lambda one: one.record.made)


def _listed(store: ObjectStore, digest: str, current: dict[str, str | None]) -> ListedGuess:
    """A guess without its weights; `current` are the digests of those that are, by base model, as far as was asked."""
    key = _record_key(digest)
    try:
        record = GuessRecord.model_validate_json(store.get(key).body)
    except (ObjectNotFoundError, ValidationError) as error:
        raise CorruptObjectError(
            f"the record {key} cannot be read: restore it, or remove that guess, `textinv guess rm {digest[:12]}`",
            key=key,
        ) from error
    base = record.base_revision
    if base not in current:
        current[base] = _current_digest(store, base)
    return ListedGuess(digest, record, current[base] == digest, why_stale(store, record))


def _digests(store: ObjectStore) -> Iterator[str]:
    keys = (info.key for info in store.list(GUESSES) if not info.key.startswith(_CURRENT))
    return (key.removeprefix(GUESSES).removesuffix(".json") for key in keys if key.endswith(".json"))


def find_digest(store: ObjectStore, start: str) -> str:
    """The digest that starts so, of a guess whose record need not be readable.

    Raises:
        InputError: there is none, or there are several.
    """
    found = [digest for digest in _digests(store) if digest.startswith(start)]
    if len(found) != 1:
        raise InputError(f"{len(found)} guesses have a digest that starts with {start!r}: see `textinv guess ls`")
    return found[0]


def find_guess(store: ObjectStore, start: str) -> ListedGuess:
    """The guess whose digest starts so.

    Raises:
        InputError: there is none, or there are several.
        CorruptObjectError: its record cannot be read.
    """
    return _listed(store, find_digest(store, start), {})


def remove_guess(store: ObjectStore, digest: str) -> None:
    """Remove a guess; where it was current, the one before it is again."""

    def without(body: bytes | None) -> bytes | None:
        left = [entry for entry in _entries(body) if entry["digest"] != digest]
        return None if body is None else _written(left)

    for info in list(store.list(_CURRENT)):
        change(store, info.key, without)
    store.delete([_record_key(digest), guess_key(digest)])


def _current_digest(store: ObjectStore, base_revision: str) -> str | None:
    entries = _published(store, _current_key(base_revision))
    return entries[-1]["digest"] if entries else None


def _published(store: ObjectStore, key: str) -> list[dict[str, str]]:
    """What was and is current, as an object at `key` says."""
    try:
        return _entries(store.get(key).body)
    except ObjectNotFoundError:
        return []


def _of_work(entries: list[dict[str, str]], work: str) -> str | None:
    return next((entry["digest"] for entry in entries if entry.get("work") == work), None)


def _record_key(digest: str) -> str:
    return f"{GUESSES}{digest}.json"


def _current_key(base_revision: str) -> str:
    return f"{_CURRENT}{base_revision[:_BASE_DIGITS]}.json"


def _entries(body: bytes | None) -> list[dict[str, str]]:
    """What was current, oldest first."""
    return [] if body is None else list(json.loads(body)["entries"])


def _written(entries: list[dict[str, str]]) -> bytes:
    return json.dumps({"entries": entries}).encode()
