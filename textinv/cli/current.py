"""The settings that hold for the command that is running.

Owns what the flags before the command said. Commands of every room read their settings here.
"""

from collections.abc import Mapping
from contextvars import ContextVar

from textinv.settings import LoadedSettings, Settings, load_settings

_said: ContextVar[Mapping[str, object] | None] = ContextVar("flags", default=None)


def remember_flags(flags: Mapping[str, object]) -> None:
    """Keep what the flags said, by dotted setting name."""
    _said.set(dict(flags))


def loaded_settings() -> LoadedSettings:
    """Settings with the origin of each.

    Raises:
        SettingsError: a name or value cannot be used.
    """
    return load_settings(_said.get())


def current_settings() -> Settings:
    """Settings of the command that is running.

    Raises:
        SettingsError: a name or value cannot be used.
    """
    return loaded_settings().settings
