"""Guesses in the store: networks that predict a concept's first rows on one base model.

    guesses/<digest>.safetensors     a guess: immutable, named by the digest of its bytes
    guesses/<digest>.json            its record, to be listed without reading the weights
    guesses/current/<base>.json      which one is current for a base model, and which ones were; swapped

Owns these objects and the record. A spec names a guess by its digest, so that what is published later changes no spec.
Does not know the network.
"""

import hashlib
import json
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from textinv.errors import CorruptObjectError, InputError, ObjectNotFoundError
from textinv.spec import Kind
from textinv.store.change import change
from textinv.store.protocol import JSON, ObjectStore

GUESSES = "guesses/"
_CURRENT = f"{GUESSES}current/"
RECORD_FIELD = "record"
"""Where the record stands in the metadata of the file."""
_BASE_DIGITS = 16
_MOST_HEADER_BYTES = 10_000_000


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
    """The kinds of concepts that it was trained on."""
    concepts: int
    """How many it was trained on."""
    source: str
    """What these were."""
    steps: int
    sample_passes: int
    held_out: Mapping[str, Any] = {}
    """What it is worth on concepts that it was not trained on."""
    made: str


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
        raise CorruptObjectError(f"{where} holds no guess ({error}): train it again, `textinv guess train`") from error


def guess_key(digest: str) -> str:
    """Where a guess lies."""
    return f"{GUESSES}{digest}.safetensors"


def put_guess(store: ObjectStore, guess: GuessFile) -> None:
    """Put a guess into the store, from where specs that name it can be learned; it becomes nobody's current one."""
    if not store.exists(guess_key(guess.digest)):
        store.put(guess_key(guess.digest), guess.data)
        store.put(f"{GUESSES}{guess.digest}.json", guess.record.model_dump_json().encode(), JSON)


def publish_guess(store: ObjectStore, guess: GuessFile) -> None:
    """Make a guess the current one of its base model; the ones before it stay."""
    put_guess(store, guess)
    entry = {"digest": guess.digest, "published": time.strftime("%FT%TZ", time.gmtime())}
    change(store, _current_key(guess.record.base_revision), lambda body: _written([*_entries(body), entry]))


def current_guess(store: ObjectStore, base_revision: str) -> str | None:
    """The digest of a base model's current guess."""
    try:
        entries = _entries(store.get(_current_key(base_revision)).body)
    except ObjectNotFoundError:
        return None
    return str(entries[-1]["digest"]) if entries else None


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


def list_guesses(store: ObjectStore) -> Iterator[ListedGuess]:
    """All guesses, oldest first.

    Raises:
        CorruptObjectError: a record cannot be read.
    """
    found = []
    for info in store.list(GUESSES):
        if info.key.endswith(".json") and not info.key.startswith(_CURRENT):
            try:
                record = GuessRecord.model_validate_json(store.get(info.key).body)
            except ValidationError as error:
                raise CorruptObjectError(f"the record {info.key} cannot be read ({error}): delete it") from error
            found.append((record, info.key.removeprefix(GUESSES).removesuffix(".json")))
    for record, digest in sorted(found, key=lambda one: one[0].made):
        yield ListedGuess(digest, record, current_guess(store, record.base_revision) == digest)


def find_guess(store: ObjectStore, start: str) -> ListedGuess:
    """The guess whose digest starts so.

    Raises:
        InputError: there is none, or there are several.
    """
    found = [one for one in list_guesses(store) if one.digest.startswith(start)]
    if len(found) != 1:
        raise InputError(f"{len(found)} guesses have a digest that starts with {start!r}: see `textinv guess ls`")
    return found[0]


def remove_guess(store: ObjectStore, guess: ListedGuess) -> None:
    """Remove a guess; where it was current, the one before it is again."""

    def without(body: bytes | None) -> bytes | None:
        left = [entry for entry in _entries(body) if entry["digest"] != guess.digest]
        return None if body is None else _written(left)

    change(store, _current_key(guess.record.base_revision), without)
    store.delete([f"{GUESSES}{guess.digest}.json", guess_key(guess.digest)])


def _current_key(base_revision: str) -> str:
    return f"{_CURRENT}{base_revision[:_BASE_DIGITS]}.json"


def _entries(body: bytes | None) -> list[dict[str, str]]:
    """What was current, oldest first."""
    return [] if body is None else list(json.loads(body)["entries"])


def _written(entries: list[dict[str, str]]) -> bytes:
    return json.dumps({"entries": entries}).encode()
