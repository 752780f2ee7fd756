"""Scores that were taken of a version after it was published.

Owns adding and reading them. A version and its record never change, so each evaluation is a document of its own beside
the version's artifacts: it goes when they go.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from textinv.errors import CorruptObjectError
from textinv.registry.layout import evaluations_prefix, new_run_id
from textinv.store.protocol import JSON, ObjectStore


def add(store: ObjectStore, run_id: str, evaluation: Mapping[str, Any]) -> str:
    """Store an evaluation of the version that came of a run; its key."""
    key = f"{evaluations_prefix(run_id)}{new_run_id()}.json"
    store.create(key, json.dumps(evaluation, sort_keys=True).encode(), JSON)
    return key


def added(store: ObjectStore, run_id: str) -> Iterator[dict[str, Any]]:
    """Evaluations of the version that came of a run, oldest first.

    Raises:
        CorruptObjectError: one cannot be read.
    """
    for info in store.list(evaluations_prefix(run_id)):
        try:
            found: dict[str, Any] = json.loads(store.get(info.key).body)
        except ValueError as error:
            raise CorruptObjectError(f"the evaluation {info.key} is no JSON: delete it") from error
        yield found
