"""`textinv concept share`: which concepts guesses may learn from, and taking them back.

Owns the command; what sharing means is `textinv.jobs.sharing`'s.
"""

from typing import Annotated

import typer

from textinv.cli.config import current_settings
from textinv.cli.output import AsJson, counted, emit, rows_table


def register(group: typer.Typer) -> None:
    """Add the command to those about concepts."""
    group.command()(share)


def share(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="None: list what is shared.")] = None,
    on: Annotated[bool, typer.Option("--on/--off", help="Share, or take back, whoever shared it.")] = True,
    json: AsJson = False,
) -> None:
    """Let `textinv guess train` learn from the pictures of concepts; without names, list those that it may learn from.

    With --off they are taken back: a guess that learned from them is stale, and not used until it is trained anew.
    Manifests share what they submit with `share_with_guess: true`, API keys with `textinv keys share`.
    """
    from textinv.jobs.sharing import share_concept, take_back
    from textinv.registry import Registry
    from textinv.registry.shares import shares
    from textinv.store import ensure_store

    store = ensure_store(current_settings())
    if not names:
        rows = [
            {"concept": one.concept, "base": one.base_model, "tenant": one.tenant, "pictures": len(one.pictures)}
            for one in shares(store)
        ]
        emit(rows, json, rows_table(rows, none="no concept is shared"))
    elif on:
        given = [one for name in names for one in share_concept(Registry(store), name)]
        pictures = sum(len(one.pictures) for one in given)
        emit(
            {"shared": names, "pictures": pictures},
            json,
            f"shared: {', '.join(names)} ({counted(pictures, 'picture')})",
        )
    else:
        found = {name: take_back(store, name) for name in names}
        told = [f"{name}: {'taken back' if count else 'was not shared'}" for name, count in found.items()]
        emit({"taken_back": found}, json, "\n".join(told))
