"""What commands print: results on standard output, everything else on standard error.

Owns the shape of results (JSON or text), of failures, and exit statuses: 0 success, 1 failure, 2 something that a
person wrote is wrong, 130 interrupted. What people wrote (names, paths, prompts) is printed as it is: never as markup,
emoji or the terminal's own commands. What goes into a pipe or a file is neither cut nor wrapped.
"""

import dataclasses
import json as json_module
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import IO, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from textinv.errors import InputError, TextinvError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
"""Every command has this option."""
_ENDLESS = 1_000_000
_MAX_LISTED = 12
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What terminals obey instead of showing: escapes, and marks that turn the direction of writing."""


def emit(data: Any, json: bool, text: RenderableType | None = None) -> None:
    """Print a command's result: `data` as JSON, or `text` for people (`data` as a table when there is none)."""
    if json:
        print(json_module.dumps(data, indent=2, default=plain, ensure_ascii=False))
    else:
        shown = table_of(data) if text is None else text
        stdout().print(literal(shown) if isinstance(shown, str) else shown)


def stdout() -> Console:
    """Console of results."""
    return _console(sys.stdout)


def stderr() -> Console:
    """Console of progress, warnings and failures."""
    return _console(sys.stderr)


def literal(text: str, style: str = "") -> Text:
    """A text of somebody's, to be printed as it is; what a terminal would obey is made visible."""
    return Text(_CONTROL.sub(lambda found: repr(found.group())[1:-1], text), style)


def counted(number: int, noun: str) -> str:
    """`1 concept`, `2,000 concepts`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def warn(message: str) -> None:
    """Tell a person something that is not a failure."""
    stderr().print(literal(f"warning: {message}", "yellow"))


def report_error(error: TextinvError, json: bool) -> int:
    """Print a failure on standard error and return the exit status for it."""
    if json:
        failure = {"error": {"code": error.code, "message": error.message, **error.details}}
        print(json_module.dumps(failure, indent=2, default=plain, ensure_ascii=False), file=sys.stderr)
    else:
        stderr().print(literal("error: ", "bold red") + literal(error.message, "not bold default"))
    return 2 if isinstance(error, InputError) else 1


def table_of(data: Any) -> RenderableType:
    """A table of rows (mappings), of one mapping's fields, or the data's text."""
    data = plain(data) if not isinstance(data, Mapping | str | Sequence) else data
    if isinstance(data, Mapping):
        return rows_table(({"": name, "value": value} for name, value in _flat(data)), show_header=False)
    if isinstance(data, Sequence) and not isinstance(data, str):
        return rows_table(row if isinstance(row, Mapping) else plain(row) for row in data)
    return str(data)


def rows_table(rows: Iterable[Mapping[str, Any]], *, show_header: bool = True, none: str = "(none)") -> RenderableType:
    """A table whose columns are the fields of its rows; `none` is said when there are no rows."""
    rows = list(rows)
    if not rows:
        return literal(none)
    table = Table(box=None, show_header=show_header, header_style="bold", pad_edge=False)
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(literal(_cell(row.get(column))) for column in rows[0]))
    return table


def plain(value: Any) -> Any:
    """Turn what JSON does not know into what it knows; secrets stay masked."""
    if hasattr(value, "model_dump"):  # a model of pydantic's, which takes long to import
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


def _console(file: IO[str]) -> Console:
    """A console that takes no text for markup, and does not know how wide a pipe is."""
    width = None if file.isatty() else _ENDLESS
    return Console(file=file, width=width, soft_wrap=True, highlight=False, markup=False, emoji=False)


def _flat(data: Mapping[Any, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a mapping and of those in it, by dotted names."""
    for name, value in data.items():
        inner = value if isinstance(value, Mapping) else _mapping_of(value)
        if inner:
            yield from _flat(inner, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _mapping_of(value: Any) -> Mapping[Any, Any] | None:
    """A list of mappings by number; anything else is none."""
    if isinstance(value, list | tuple) and value and all(isinstance(one, Mapping) for one in value):
        return dict(enumerate(value, 1))
    return None


def _cell(value: Any) -> str:
    if value is None or value == {}:
        return "-"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, float) and abs(value) < 1e5:
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_cell(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return _listed([_cell(one) for one in value])
    return str(value)


def _listed(cells: list[str]) -> str:
    if len(cells) > _MAX_LISTED:
        cells = [*cells[: _MAX_LISTED // 2], f"... ({len(cells)} in all) ...", cells[-1]]
    return ", ".join(cells) or "-"
