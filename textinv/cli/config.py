"""`textinv config`: every setting, its value, and where the value came from."""

import typer
from pydantic import BaseModel

from textinv.cli.current import loaded_settings
from textinv.cli.output import AsJson, emit, plain, rows_table, warn
from textinv.settings import mistyped_variables


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(config)


def config(json: AsJson = False) -> None:
    """Show each setting and where it came from: a flag, the environment, a settings file, or the default."""
    loaded = loaded_settings()
    for name, meant in mistyped_variables():
        warn(f"the variable {name} is not read: did you mean {meant}?")
    rows = [
        {"setting": name, "value": _value(loaded.settings, name), "origin": origin}
        for name, origin in loaded.origin.items()
    ]
    emit({row["setting"]: {"value": row["value"], "origin": row["origin"]} for row in rows}, json, rows_table(rows))


def _value(settings: BaseModel, name: str) -> object:
    """The value of a dotted name as JSON; secrets are masked."""
    value: object = plain(settings)
    for part in name.split("."):
        value = value[part] if isinstance(value, dict) else value
    return value
