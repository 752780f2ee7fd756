"""What a line of the log is, one JSON object, and what is noted for the line of the request that is being answered.

Owns the fields' names and the set-up of logging in a process of Ray Serve, which sets up its own logger only.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_notes: ContextVar[dict[str, Any] | None] = ContextVar("textinv_request_notes", default=None)


class Facts:
    """A message that is fields instead of a sentence."""

    def __init__(self, **fields: Any) -> None:
        self.fields = fields

    def __str__(self) -> str:
        return json.dumps(self.fields, default=str)


class JsonLines(logging.Formatter):
    """Writes a record as one JSON object: `time` (UTC), `level`, `logger`, `message` or the fields of `Facts`.

    Beside them, where there is one, the `request_id` of the request that is being answered and the `exception`.
    """

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
        }
        if notes := _notes.get():
            line["request_id"] = notes["request_id"]
        line |= record.msg.fields if isinstance(record.msg, Facts) else {"message": record.getMessage()}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


@contextmanager
def notes_of(request_id: str) -> Iterator[dict[str, Any]]:
    """Collect what is noted while a request is answered, in all tasks that it starts."""
    notes: dict[str, Any] = {"request_id": request_id}
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)


def note(**fields: Any) -> None:
    """Note something about the request that is being answered; outside of one it is dropped."""
    if (notes := _notes.get()) is not None:
        notes.update(fields)


def write_log_lines() -> None:
    """Write our log lines to stderr, which Ray keeps in `worker-*.err`.

    A program that sets up nothing shows only warnings, and Serve may put a logger of its own in the place of
    `sys.stderr`, which would write each line as part of another.
    """
    for name in ("services", "textinv"):
        logger = logging.getLogger(name)
        logger.setLevel(logging.INFO)
        if not logger.handlers:
            handler = logging.StreamHandler(sys.__stderr__)
            handler.setFormatter(JsonLines())
            logger.addHandler(handler)
