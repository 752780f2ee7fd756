"""API keys: making, finding and revoking them; they lie in the store, hashed.

A key reads `ti_<id>_<secret>`. The secret has 256 random bits, so a plain SHA-256 keeps it safe; only the hash is
stored, at `keys/<id>.json`. Knows no HTTP.
"""

import asyncio
import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from services.access.roles import Role, covers
from services.access.strangers import Strangers
from textinv.errors import AccessError, CorruptObjectError, InputError, ObjectNotFoundError, StoreError
from textinv.registry.shares import OPTED_OUT, shares, withdraw
from textinv.states import changes_nothing
from textinv.store.change import change
from textinv.store.protocol import JSON, ObjectStore

log = logging.getLogger(__name__)

_PREFIX = "keys/"
_KEY = re.compile(r"ti_([0-9a-f]{12})_([A-Za-z0-9_-]{20,100})")
# A revoked key works on for so long at most, while the store answers.
_KNOWN_S = 5.0
# While it does not: longer than a store takes to restart or fail over, and short enough that nobody who revoked a key
# just before counts on hours.
_OUTAGE_S = 300.0
# A store that has not answered for so long is as good as down to whoever has a known key.
_PATIENCE_S = 2.0
_NUM_READERS = 8
# Requests that wait for the store to say whether their key exists; they hold up nobody but each other.
_NUM_FINDERS = 16
_MAX_KNOWN = 10_000


class ApiKey(BaseModel):
    """A key as it is stored: everything but its secret."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    label: str
    role: Role
    secret_sha256: str
    created: str
    name_prefix: str = ""
    """Concepts whose names start with it are all that the key may touch; empty: all."""
    per_minute: int | None = None
    """Requests per minute; None: no limit."""
    concurrency: int | None = None
    """Requests at the same time; None: no limit."""
    max_priority: int = 0
    """Jobs of the key are served before others of lower priority, up to this one."""
    share_with_guess: bool = False
    """Whether the guess may learn from what is submitted with it, unless a manifest says otherwise."""
    revoked: str | None = None
    """When it was revoked."""

    def has_role(self, role: Role) -> bool:
        """Whether the key may do what `role` may; one that is bound to names owns nothing that all share."""
        if role == "admin" and self.name_prefix:
            return False
        return covers(self.role, role)


class KeyRing:
    """The keys in a store; what was read lately is remembered.

    While the store fails or takes over two seconds, a key that was read within the last five minutes goes on working,
    so that callers whose concepts are at hand are served. The price: a key revoked just before or during an outage
    works on for as long. Keys that are not remembered wait for the store.
    """

    def __init__(
        self,
        store: ObjectStore,
        known_s: float = _KNOWN_S,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._store = store
        self._known_s = known_s
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, ApiKey]] = OrderedDict()
        self._unknown: OrderedDict[str, float] = OrderedDict()
        self._remembering = threading.Lock()
        self._strangers = Strangers(clock)
        self._patience_s = patience_s
        self._ask_again_at = float("-inf")
        self._readers = ThreadPoolExecutor(_NUM_READERS, thread_name_prefix="textinv-keys")
        # Apart, so that known keys do not stand in line behind those that nobody has heard of.
        self._rereaders = ThreadPoolExecutor(_NUM_READERS, thread_name_prefix="textinv-known-keys")
        self._finders = ThreadPoolExecutor(_NUM_FINDERS, thread_name_prefix="textinv-find-keys")
        self._refreshing: dict[str, float] = {}
        """When keys began to be read anew, beside their requests."""

    def create(
        self,
        label: str,
        role: Role,
        *,
        name_prefix: str = "",
        per_minute: int | None = None,
        concurrency: int | None = None,
        max_priority: int = 0,
        share_with_guess: bool = False,
    ) -> tuple[str, ApiKey]:
        """Make a key; its text is told this once.

        Raises:
            InputError: a key for all that is shared is to be bound to names.
        """
        if role == "admin" and name_prefix:
            raise InputError(
                "a key with the role admin owns what all share and cannot be bound to a prefix: leave "
                f"out {name_prefix!r}"
            )
        key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        key = ApiKey(
            id=key_id,
            label=label,
            role=role,
            secret_sha256=_hash(secret),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            name_prefix=name_prefix,
            per_minute=per_minute,
            concurrency=concurrency,
            max_priority=max_priority,
            share_with_guess=share_with_guess,
        )
        self._store.create(_object_of(key_id), key.model_dump_json().encode(), JSON)
        return f"ti_{key_id}_{secret}", key

    def list(self) -> Iterator[ApiKey]:
        """List all keys, the revoked ones too."""
        for info in self._store.list(_PREFIX):
            key = self._read(info.key.removeprefix(_PREFIX).removesuffix(".json"))
            if key is not None:
                yield key

    def revoke(self, key_id: str) -> tuple[ApiKey, str | None]:
        """Revoke a key; running services forget it within seconds. With it: why that changes nothing, if so.

        Raises:
            InputError: there is no such key, or several whose ids begin so.
        """
        key = self._named(key_id)
        key_id = key.id
        note = changes_nothing("key", key_id, "valid" if key.revoked is None else "revoked", "revoke")
        if note is not None:
            return key, f"{note} (since {key.revoked})"
        at = datetime.now(UTC).isoformat(timespec="seconds")
        body = change(self._store, _object_of(key_id), lambda stored: _revoked(stored, at))
        self._known.pop(key_id, None)
        return ApiKey.model_validate_json(body or key.model_dump_json()), None

    def share(self, key_id: str, on: bool) -> tuple[ApiKey, int]:
        """Let the guess learn from what is submitted with a key from now on; or not any more, nor from what was
        submitted with it before. With the key: how many concepts were taken back.

        Raises:
            InputError: there is no such key, or several whose ids begin so.
        """
        key = self._named(key_id)
        body = change(self._store, _object_of(key.id), lambda stored: _changed(stored, {"share_with_guess": on}))
        self._known.pop(key.id, None)
        mine = [] if on else [one for one in shares(self._store) if one.tenant == key.id]
        return ApiKey.model_validate_json(body or key.model_dump_json()), withdraw(self._store, mine, OPTED_OUT)

    def find(self, text: str, role: Role, address: str = "") -> ApiKey:
        """Find the key that a caller at an address sent and check that it has `role`.

        Raises:
            AccessError: it is none of ours, was revoked, or has not the role.
            OverloadedError: the address sends one unknown key after the other.
            StoreError: the store cannot be read, and the key is not remembered.
        """
        match = _KEY.fullmatch(text)
        return self._checked(text, self._lookup(match[1], address) if match else None, role)

    async def find_soon(self, text: str, role: Role, address: str = "") -> ApiKey:
        """As `find`; whoever has a remembered key waits for no thread that talks to the store.

        A key in use is read anew beside its requests before what is known of it grows old.
        """
        match = _KEY.fullmatch(text)
        key = self._at_hand(match[1]) if match else None
        if key is not None:
            return self._checked(text, key, role)
        return await asyncio.get_running_loop().run_in_executor(self._finders, self.find, text, role, address)

    def _at_hand(self, key_id: str) -> ApiKey | None:
        """A remembered key that may be used without asking; it is read anew in time."""
        now = self._clock()
        read_at, key = self._known.get(key_id, (float("-inf"), None))
        age_s = now - read_at
        if key is None or age_s > _OUTAGE_S:
            return None
        if age_s > self._known_s / 2 and now >= self._ask_again_at and key_id not in self._refreshing:
            self._refreshing[key_id] = now
            self._rereaders.submit(self._refresh, key_id)
        is_late = now - self._refreshing.get(key_id, now) > self._patience_s
        return key if age_s <= self._known_s or now < self._ask_again_at or is_late else None

    def _refresh(self, key_id: str) -> None:
        try:
            self._read_and_remember(key_id)
        except StoreError:
            self._ask_again_at = self._clock() + self._known_s
        finally:
            self._refreshing.pop(key_id, None)

    def _checked(self, text: str, key: ApiKey | None, role: Role) -> ApiKey:
        """The key that `text` claims to be, if it is, and has the role."""
        match = _KEY.fullmatch(text)
        if match is None or key is None or not hmac.compare_digest(key.secret_sha256, _hash(match[2])):
            raise AccessError("this API key is not known here; `textinv keys create` makes one")
        if key.revoked is not None:
            raise AccessError(f"the API key {key.id} was revoked at {key.revoked}; ask the operator for another")
        if not key.has_role(role):
            bound = f", bound to {key.name_prefix!r}" if key.name_prefix else ""
            raise AccessError(f"the API key {key.id} has the role {key.role!r}{bound}; this needs {role!r}", role=role)
        return key

    def _named(self, beginning: str) -> ApiKey:
        """The one key whose id begins so."""
        infos = self._store.list(_PREFIX + beginning) if re.fullmatch(r"[0-9a-f]{1,12}", beginning) else iter(())
        ids = [info.key.removeprefix(_PREFIX).removesuffix(".json") for info in infos]
        key = self._read(ids[0]) if len(ids) == 1 else None
        if len(ids) > 1:
            raise InputError(f"{len(ids)} key ids begin with {beginning!r}: give more of it")
        if key is None:
            raise InputError(f"there is no key {beginning!r}; `textinv keys ls` lists them")
        return key

    def _lookup(self, key_id: str, address: str) -> ApiKey | None:
        now = self._clock()
        if now - self._unknown.get(key_id, float("-inf")) <= self._known_s:
            return None
        read_at, key = self._known.get(key_id, (float("-inf"), None))
        if now - read_at <= self._known_s:
            return key
        if key is not None:
            return self._ask_again(key_id, key, read_at)
        self._strangers.spend(address)
        key = self._ask_again(key_id, None, read_at)
        if key is not None:
            self._strangers.give_back(address)
        return key

    def _ask_again(self, key_id: str, key: ApiKey | None, read_at: float) -> ApiKey | None:
        """Ask the store for a key; `key` is what it said at `read_at`."""
        now = self._clock()
        usable, is_down = key is not None and now - read_at <= _OUTAGE_S, self._ask_again_at > float("-inf")
        if usable and now < self._ask_again_at:
            return key
        if is_down:  # a store that is down takes seconds to say so: let one request in a while ask
            self._ask_again_at = now + self._known_s
        readers = self._rereaders if usable else self._readers
        reading = readers.submit(self._read_and_remember, key_id)
        try:
            return reading.result(self._patience_s if usable else None)
        except CorruptObjectError:
            raise
        except (StoreError, TimeoutError) as error:
            self._ask_again_at = self._clock() + self._known_s
            if not usable:
                raise
            log.warning(
                "the key %s is taken as it was %.0f s ago: %s", key_id, now - read_at, str(error) or "no answer"
            )
            return key

    def _read_and_remember(self, key_id: str) -> ApiKey | None:
        asked_at = self._clock()
        key = self._read(key_id)
        self._ask_again_at = float("-inf")
        with self._remembering:
            if key is None:
                self._known.pop(key_id, None)
                self._unknown[key_id] = asked_at
            elif asked_at >= self._known.get(key_id, (asked_at, key))[0]:
                self._known[key_id] = asked_at, key
                self._known.move_to_end(key_id)
            # Apart, so that ids which somebody makes up push out no key that exists.
            for memory in (self._known, self._unknown):
                while len(memory) > _MAX_KNOWN:
                    memory.popitem(last=False)
        return key

    def _read(self, key_id: str) -> ApiKey | None:
        name = _object_of(key_id)
        try:
            return ApiKey.model_validate_json(self._store.get(name).body)
        except ObjectNotFoundError:
            return None
        except ValidationError as error:
            raise CorruptObjectError(f"{name} is not a key; remove it and create another", key=name) from error


def _revoked(stored: bytes | None, at: str) -> bytes | None:
    """A key as it is stored from now on; None: as it is."""
    key = None if stored is None else ApiKey.model_validate_json(stored)
    return key.model_copy(update={"revoked": at}).model_dump_json().encode() if key and key.revoked is None else None


def _changed(stored: bytes | None, changes: dict[str, object]) -> bytes | None:
    """A key as it is stored from now on, with these changes."""
    key = None if stored is None else ApiKey.model_validate_json(stored)
    return key.model_copy(update=changes).model_dump_json().encode() if key else None


def _object_of(key_id: str) -> str:
    return f"{_PREFIX}{key_id}.json"


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
