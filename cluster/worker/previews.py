"""Preview pictures of what a worker learns: drawn between two steps, put into the store beside training.

Owns how many there are, and that a preview which fails costs nothing but itself. Does not know what is drawn.
"""

import logging
from collections import Counter
from collections.abc import Callable

import torch

from cluster.worker.outbox import Outbox
from textinv.embedding import Embedding
from textinv.errors import TextinvError
from textinv.jobs.previews import write_preview
from textinv.plan.estimate import MAX_PREVIEWS
from textinv.spec import TrainSpec
from textinv.store.protocol import ObjectStore
from textinv.training import Work

_LOG = logging.getLogger("textinv.worker")

Draw = Callable[[TrainSpec, Embedding], bytes]


class Previews:
    """Previews of the concepts in a worker's pack."""

    def __init__(self, store: ObjectStore, outbox: Outbox, draw: Draw | None = None) -> None:
        """`draw` None: there are none."""
        self._store, self._outbox, self._draw = store, outbox, draw
        self._drawn: Counter[str] = Counter()
        self._stored: dict[str, int] = {}

    def stored(self, work: Work) -> int:
        """The step of the work's last preview that is in the store; 0 while there is none."""
        return self._stored.get(work.work_id, 0)

    def show(self, work: Work, step: int, embedding: Embedding) -> None:
        """Draw a preview and put it into the store, unless the concept has enough of them."""
        if self._drawn[work.work_id] < MAX_PREVIEWS - 1:  # one more shows what is kept
            picture = self.draw(work, embedding)
            if picture is not None:
                self._outbox.post(lambda: self.keep(work, step, picture), lambda error: None)

    def draw(self, work: Work, embedding: Embedding) -> bytes | None:
        """Draw a preview; None when none is asked for, or when it fails."""
        if self._draw is None or not work.spec.preview_every:
            return None
        self._drawn[work.work_id] += 1
        try:
            return self._draw(work.spec, embedding)
        except (TextinvError, RuntimeError) as error:
            _LOG.warning("no preview of %s: %s", work.spec.name, error)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            return None

    def keep(self, work: Work, step: int, picture: bytes) -> None:
        """Put a preview into the store."""
        write_preview(self._store, work.work_id, step, picture)
        self._stored[work.work_id] = step

    def forget(self, work: Work) -> None:
        """Be done with the work."""
        self._drawn.pop(work.work_id, None)
        self._stored.pop(work.work_id, None)
