"""`textinv keys create | ls | share | revoke`: API keys of the HTTP service.

Owns flags and what is printed; keys themselves are in `services.access.keys`.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from services.access.roles import Role
from textinv.cli.config import current_settings, nothing_in_store
from textinv.cli.output import AsJson, counted, emit, rows_table
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
    share_with_guess: Annotated[
        bool,
        typer.Option("--share-with-guess", help="Guesses may learn from what it submits, unless a manifest says no."),
    ] = False,
    json: AsJson = False,
) -> None:
    """Create a key; it is shown once and stored only as a hash."""
    text, key = _ring().create(
        label,
        role,
        name_prefix=prefix,
        per_minute=per_minute,
        concurrency=concurrency,
        max_priority=max_priority,
        share_with_guess=share_with_guess,
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


def share(
    key_id: Annotated[str, typer.Argument(help="An id of `ls`, or its beginning.")],
    on: Annotated[bool, typer.Option("--on/--off", help="Share, or take everything back.")] = True,
    json: AsJson = False,
) -> None:
    """Let guesses learn from what a key submits from now on; with --off not any more, nor from what it ever submitted.

    A guess that learned from it is stale then: it is not used until it is trained anew. Running services notice within
    seconds; a manifest can still share its own concepts.
    """
    key, taken_back = _ring().share(key_id, on)
    said = "is shared from now on" if on else f"is not shared any more; {counted(taken_back, 'concept')} taken back"
    emit({**_shown(key), "taken_back": taken_back}, json, f"what the key {key.id} ({key.label}) submits {said}")


def _ring() -> "KeyRing":
    from services.access.keys import KeyRing
    from textinv.store import ensure_store

    return KeyRing(ensure_store(current_settings()))


def _shown(key: "ApiKey") -> dict[str, object]:
    return key.model_dump(exclude={"secret_sha256"})
