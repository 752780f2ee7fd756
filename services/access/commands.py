"""`textinv keys create | ls | revoke`: API keys of the HTTP service.

Owns flags and what is printed; keys themselves are in `services.access.keys`.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from services.access.roles import Role
from textinv.cli.config import current_settings, nothing_in_store
from textinv.cli.output import AsJson, emit, rows_table
from textinv.states import MAX_PRIORITY

if TYPE_CHECKING:
    from services.access.keys import ApiKey, KeyRing


def create(
    label: Annotated[str, typer.Argument(help="Whose key it is, in your words.")] = "unnamed",
    role: Annotated[
        Role, typer.Option(help="generate; submit: also jobs; operate: also roll back and delete; admin: also fleet.")
    ] = "generate",
    prefix: Annotated[str, typer.Option(help="Only concepts whose names start with this.")] = "",
    per_minute: Annotated[int | None, typer.Option(help="Maximum requests per minute.", min=1)] = None,
    concurrency: Annotated[int | None, typer.Option(help="Maximum requests at the same time.", min=1)] = None,
    max_priority: Annotated[
        int, typer.Option(help="Highest priority of its jobs.", min=-MAX_PRIORITY, max=MAX_PRIORITY)
    ] = 0,
    json: AsJson = False,
) -> None:
    """Create a key; it is shown once and stored only as a hash."""
    text, key = _ring().create(
        label, role, name_prefix=prefix, per_minute=per_minute, concurrency=concurrency, max_priority=max_priority
    )
    emit({"key": text, **_shown(key)}, json, text)


def list_keys(json: AsJson = False) -> None:
    """List keys, the revoked ones too."""
    keys = [_shown(key) for key in _ring().list()]
    emit(keys, json, rows_table(keys, none=nothing_in_store()))


def revoke(
    key_id: Annotated[str, typer.Argument(help="An id of `ls`, or its beginning.")], json: AsJson = False
) -> None:
    """Revoke a key; running services refuse it within seconds."""
    key, note = _ring().revoke(key_id)
    emit({**_shown(key), "changed": note is None, "note": note}, json, note or f"revoked {key.id}")


def _ring() -> "KeyRing":
    from services.access.keys import KeyRing
    from textinv.store import ensure_store

    return KeyRing(ensure_store(current_settings()))


def _shown(key: "ApiKey") -> dict[str, object]:
    return key.model_dump(exclude={"secret_sha256"})
