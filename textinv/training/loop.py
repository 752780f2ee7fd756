"""The training loop: work in, learned concepts out.

Owns the order of things. Does not know what a slot holds, how a step is taken, nor what becomes of a result.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Literal

from textinv.models.base import BaseModel
from textinv.training.capacity import choose_num_slots
from textinv.training.traffic import Traffic
from textinv.training.work import Scorer, TrainingSink, WorkSource

IDLE_S = 0.2
"""Wait between two looks at a source that has nothing now."""


def never() -> bool:
    """Never drain."""
    return False


def train_pack(
    model: BaseModel,
    source: WorkSource,
    sink: TrainingSink,
    *,
    num_slots: int | Literal["auto"] = "auto",
    should_drain: Callable[[], bool] = never,
    checkpoint_every_s: float = 30.0,
    scorer: Scorer | None = None,
) -> None:
    """Learn everything that `source` hands out, `num_slots` concepts at a time, and tell `sink` what happens.

    `auto` is measured at the resolution of the first work, and again where a pack of another resolution begins.
    A `scorer` scores every learned concept; what it says goes into the record as `evaluation`. Returns when the source
    has finished, or, after a checkpoint of every slot, when `should_drain` says so.
    """
    traffic = Traffic(model, source, sink, partial(choose_num_slots, model, num_slots), scorer)
    while not should_drain():
        traffic.fill()
        while traffic.settle():
            traffic.fill()
        if traffic.pack.slots:
            traffic.step()
            traffic.save(every_s=checkpoint_every_s)
        elif traffic.is_over:
            return
        else:
            time.sleep(IDLE_S)
    traffic.save()
