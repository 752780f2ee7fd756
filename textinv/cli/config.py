"""The settings that hold for the command that is running, and `textinv config`, which shows them.

Owns what the flags before the command said. Commands of every room read their settings here.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING

import typer

from textinv.cli.output import AsJson, emit, plain, rows_table

if TYPE_CHECKING:
    from textinv.settings import LoadedSettings, Settings

_said: ContextVar[Mapping[str, object] | None] = ContextVar("flags", default=None)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(config)


def config(json: AsJson = False) -> None:
    """Show each setting and where it came from: a flag, the environment, a settings file, or the default."""
    loaded = loaded_settings()
    rows = [
        {"setting": name, "value": _value(loaded.settings, name), "origin": origin}
        for name, origin in loaded.origin.items()
    ]
    emit({row["setting"]: {"value": row["value"], "origin": row["origin"]} for row in rows}, json, rows_table(rows))


def _value(settings: "Settings", name: str) -> object:
    """The value of a dotted name as JSON; secrets are masked."""
    value: object = plain(settings)
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else value
    return value


def remember_flags(flags: Mapping[str, object]) -> None:
    """Keep what the flags said, by dotted setting name."""
    _said.set(dict(flags))


def loaded_settings() -> "LoadedSettings":
    """Settings with the origin of each.

    Raises:
        SettingsError: a name or value cannot be used.
    """
    from textinv.settings import load_settings  # pydantic, which takes long to import

    return load_settings(_said.get())


def current_settings() -> "Settings":
    """Settings of the command that is running.

    Raises:
        SettingsError: a name or value cannot be used.
    """
    return loaded_settings().settings


def settings_at(address: str | None) -> "Settings":
    """The settings that hold, with another cluster if one is named."""
    settings = current_settings()
    return settings if address is None else settings.model_copy(update={"ray_address": address})


def store_in_use() -> str:
    """The store of the command that is running, in words."""
    settings = current_settings()
    store = settings.store
    if store.endpoint_url is None:
        return f"the embedded store of {settings.home.absolute()}"
    return f"{store.endpoint_url}, bucket {store.bucket}" + (f", prefix {store.prefix}" if store.prefix else "")


def nothing_in_store() -> str:
    """What is said where a store holds nothing of a kind: which store was looked at."""
    return f"(none in {store_in_use()})"
