"""What commands print: results on standard output, everything else on standard error.

Owns the shape of results (JSON or text), of failures, and exit statuses: 0 success, 1 failure, 2 something that a
person wrote is wrong, 130 interrupted.
"""

import dataclasses
import json as json_module
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType
from rich.table import Table

from textinv.errors import InputError, TextinvError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
"""Every command has this option."""


def emit(data: Any, json: bool, text: RenderableType | None = None) -> None:
    """Print a command's result: `data` as JSON, or `text` for people (`data` as a table when there is none)."""
    if json:
        print(json_module.dumps(data, indent=2, default=plain, ensure_ascii=False))
    else:
        stdout().print(table_of(data) if text is None else text)


def stdout() -> Console:
    """Console of results."""
    return Console(soft_wrap=True, highlight=False)


def stderr() -> Console:
    """Console of progress, warnings and failures."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


def warn(message: str) -> None:
    """Tell a person something that is not a failure."""
    stderr().print("warning:", message, style="yellow", markup=False)


def report_error(error: TextinvError, json: bool) -> int:
    """Print a failure on standard error and return the exit status for it."""
    if json:
        failure = {"error": {"code": error.code, "message": error.message, **error.details}}
        print(json_module.dumps(failure, indent=2, default=plain, ensure_ascii=False), file=sys.stderr)
    else:
        console = stderr()
        console.print("error:", style="bold red", end=" ")
        console.print(error.message, markup=False)
    return 2 if isinstance(error, InputError) else 1


def table_of(data: Any) -> RenderableType:
    """A table of rows (mappings), of one mapping's fields, or the data's text."""
    data = plain(data) if not isinstance(data, Mapping | str | Sequence) else data
    if isinstance(data, Mapping):
        return rows_table(({"": name, "value": value} for name, value in data.items()), show_header=False)
    if isinstance(data, Sequence) and not isinstance(data, str):
        return rows_table(row if isinstance(row, Mapping) else plain(row) for row in data)
    return str(data)


def rows_table(rows: Iterable[Mapping[str, Any]], *, show_header: bool = True) -> RenderableType:
    """A table whose columns are the fields of its rows."""
    rows = list(rows)
    if not rows:
        return "(none)"
    table = Table(box=None, show_header=show_header, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(_cell(row.get(column)) for column in rows[0]))
    return table


def plain(value: Any) -> Any:
    """Turn what JSON does not know into what it knows; secrets stay masked."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value) if isinstance(value, PurePath) else repr(value)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    return str(value)
