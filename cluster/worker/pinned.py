"""Pinned pictures of what a worker has learned, on their way from whoever draws them to the version.

Owns that each concept that is scored has a sheet of them, or none when drawing fails: no publication waits for it.
"""

import logging
from collections.abc import Callable

import torch

from textinv.embedding import Embedding
from textinv.errors import TextinvError
from textinv.evaluation.pinned import Sheet
from textinv.spec import TrainSpec

_LOG = logging.getLogger("textinv.worker")


class Sheets:
    """Sheets of concepts between their scores and their publication."""

    def __init__(self, draw: Callable[[TrainSpec, Embedding], Sheet] | None = None) -> None:
        """`draw` makes the sheet of a concept for whose scores nothing was drawn; None: then there is none."""
        self._draw = draw
        self._kept: dict[str, Sheet] = {}

    def keep(self, spec: TrainSpec, sheet: Sheet) -> None:
        """Take the sheet that fell off while a concept was scored."""
        self._kept[spec.fingerprint] = sheet

    def take(self, spec: TrainSpec, embedding: Embedding) -> Sheet | None:
        """The sheet of a concept, drawn now where its scores left none; None when it is not scored, or that fails."""
        kept = self._kept.pop(spec.fingerprint, None)
        if kept is not None or self._draw is None or not spec.evaluate:
            return kept
        try:
            return self._draw(spec, embedding)
        except (TextinvError, RuntimeError) as error:
            _LOG.warning("no pinned pictures of %s: %s", spec.name, error)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return None
