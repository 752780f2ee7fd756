"""Who calls, and what they may do.

Owns where a key stands in a request (Bearer, or the password of Basic, as A1111's clients send it) and the
dependencies that routes declare. Keys themselves are in `services.access.keys`.
"""

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, Request

from services.access.keys import ApiKey
from services.access.roles import Role
from services.desk import Desk
from services.log_lines import note
from textinv.errors import AccessError
from textinv.jobs.sharing import Tenant
from textinv.placeholders import ConceptRef


@dataclass(frozen=True)
class Caller:
    """Who a request is from: an API key, or (where keys are off) an address."""

    key: ApiKey | None
    address: str

    @property
    def id(self) -> str:
        """What tells callers apart."""
        return f"key:{self.key.id}" if self.key else f"address:{self.address}"

    @property
    def name_prefix(self) -> str:
        """What the names of all concepts start with that the caller may touch."""
        return self.key.name_prefix if self.key else ""

    @property
    def tenant(self) -> Tenant:
        """Whose pictures it submits; where keys are off, all callers are one."""
        return Tenant("no key") if self.key is None else Tenant(self.key.id, self.key.share_with_guess)

    def has_role(self, role: Role) -> bool:
        """Whether the caller may do what `role` may; where keys are off, everybody may do all."""
        return self.key is None or self.key.has_role(role)

    def check_priority(self, priority: int) -> None:
        """Check that the caller may have its jobs served so early.

        Raises:
            AccessError: its key has a lower bound.
        """
        if self.key is not None and priority > self.key.max_priority:
            raise AccessError(
                f"the API key {self.key.id} submits with priority {self.key.max_priority} at most, not {priority}; "
                "`textinv keys create --max-priority` makes one that may",
                role=self.key.role,
                param="priority",
            )

    def turn_of(self, user: str | None) -> str:
        """Whose turn a request takes: the caller's, or that of one of its users."""
        return f"{self.id}/{user}" if user else self.id

    def check_concepts(self, refs: Iterable[ConceptRef]) -> None:
        """Check that the caller may use these concepts.

        Raises:
            AccessError: its key is bound to other names.
        """
        for ref in refs:
            if self.key is not None and not ref.name.startswith(self.name_prefix):
                raise AccessError(
                    f"the API key {self.key.id} is bound to concepts that start with {self.name_prefix!r}; "
                    f"{ref.name!r} does not",
                    role=self.key.role,
                )


def _requires(role: Role) -> Any:
    """The dependency of a route that callers with `role` may use."""

    async def check(request: Request) -> Caller:
        desk: Desk = request.app.state.desk
        address = request.client.host if request.client else "unknown"
        caller = Caller(None, address)
        note(caller=caller.id)
        if desk.config.keys:
            caller = Caller(await desk.key_ring.find_soon(_sent_key(request), role, address), address)
            note(caller=caller.id)
            await desk.usage.spend(caller.key)
        return caller

    return Depends(check)


may_draw: Any = _requires("generate")
may_submit: Any = _requires("submit")
may_operate: Any = _requires("operate")
may_own: Any = _requires("admin")


def _sent_key(request: Request) -> str:
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and sent.strip():
        return sent.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(sent.strip(), validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError) as error:
            raise AccessError("the Authorization header is not readable Basic authentication") from error
    raise AccessError("this service needs an API key; send it as `Authorization: Bearer <key>`")
