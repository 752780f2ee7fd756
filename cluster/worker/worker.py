"""A worker: one process, one frozen base model, one pack, fed by leases from the queue.

Owns the life of a worker from its first heartbeat to handing back what it did not finish. `learn_leased` knows no Ray;
`run_worker` is what Ray Train calls.
"""

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ray
import ray.train
import torch

from cluster.queue.messages import WorkerCard
from cluster.queue.on_ray import QueueForWorkers, WorkersQueue, find_queue
from cluster.worker.config import PackSettings, WorkerConfig
from cluster.worker.guesses import Guesses
from cluster.worker.leases import Leases
from cluster.worker.meters import PackMeters, RayBoard, TimedStore
from cluster.worker.outbox import Outbox
from cluster.worker.pinned import Sheets
from cluster.worker.place import Place
from cluster.worker.results import Results
from textinv.errors import BaseModelError, BaseModelMismatchError, ClusterError
from textinv.evaluation import own_scorer
from textinv.evaluation.pinned import draw_sheet
from textinv.evaluation.preview import draw_preview
from textinv.jobs import JobStore
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.models.compiled import compiled, has_compiler
from textinv.registry import Registry
from textinv.settings import Settings
from textinv.store import S3Store
from textinv.training import train_pack

SLOTS_ON_CPU = 4
"""Packing more than a few concepts brings nothing on a CPU."""
_LOG = logging.getLogger("textinv.worker")
DRAIN_S = 4.0
"""After a notice of preemption there may be five seconds."""
LOOK_S = 1.0
"""A worker looks for such a notice so often."""


def run_worker(config: WorkerConfig) -> None:
    """Work off the queue as a Ray Train worker."""
    torch.set_num_threads(config.pack.threads)
    queue = WorkersQueue(find_queue(config.fleet, config.base))
    board = RayBoard()
    # Not probed, as the driver has done that: a store that is away now is waited for when there is something to fetch.
    registry = Registry(TimedStore(S3Store(config.store_here()), board))
    seat = ray.train.get_context().get_world_rank()
    card = WorkerCard(
        id=f"{config.crew}/{seat}-{secrets.token_hex(3)}",
        crew=config.crew,
        seat=seat,
        node=ray.get_runtime_context().get_node_id(),
        pid=os.getpid(),
    )
    meters = PackMeters(board, config.base.name)
    encoders = [Path(folder) for folder in config.encoders]
    learn_leased(lambda: load_model(config), queue, registry, card, config.pack, Notice(card.node), meters, encoders)


def load_model(config: WorkerConfig) -> BaseModel:
    """Load the base model that a worker is told.

    Raises:
        BaseModelMismatchError: it is not what the specs were made for.
    """
    base = config.base
    aliases = Settings(base_models=config.base_models).base_models
    model = load_base_model(base.name, revision=base.revision, device=config.pack.device, aliases=aliases)
    if base.base_revision and model.revision != base.base_revision:
        raise BaseModelMismatchError(
            f"{base.name} is {model.revision[:12]} here, but the job was planned with {base.base_revision[:12]}: give "
            "all machines the same base model and submit again"
        )
    return model


def learn_leased(
    load: Callable[[], BaseModel],
    queue: QueueForWorkers,
    registry: Registry,
    card: WorkerCard,
    pack: PackSettings,
    has_notice: Callable[[], bool] = lambda: False,
    meters: PackMeters | None = None,
    encoders: Sequence[Path] = (),
) -> None:
    """Learn what the queue hands out until it lets the worker go, or `has_notice` says that its time is up.

    The encoders in the folders `encoders` score what was learned; without any, the base model's own CLIP.
    """

    def is_over() -> bool:
        return leases.is_dismissed or has_notice()

    place = Place()
    outbox = Outbox(place=place)
    with Leases(queue, JobStore(registry.store), card, beat_s=pack.beat_s, place=place, encoders=encoders) as leases:
        try:
            if leases.is_dismissed:
                leases.leave()
                return
            try:
                model = place.patiently(load, leases.rest, is_over, endless=True)
            except BaseModelError:
                if leases.is_dismissed:
                    leases.leave()
                    return
                raise
            packed, sheets = _for_packs(model, pack), Sheets(partial(draw_sheet, model))
            results = Results(queue, registry, leases, outbox, card.id, partial(draw_preview, model), sheets, meters)
            learn = partial(
                train_pack,
                packed,
                leases,
                results,
                num_slots=slots_for(packed, pack.num_slots),
                checkpoint_every_s=pack.checkpoint_every_s,
                scorer=own_scorer(model, folders=encoders, keep=sheets.keep),
            )
            guesses = Guesses(model, queue, registry.store, leases, outbox, card.id, place, pack, encoders, is_over)
            work_off(learn, guesses, leases, is_over)
        except BaseException as error:
            leases.end()
            with suppress(ClusterError):
                leases.leave(f"{type(error).__name__}: {error}")
            raise
        leases.end()
        outbox.close(DRAIN_S if has_notice() else None)
        leases.leave()


def work_off(learn: Callable[..., object], guesses: Guesses, leases: Leases, is_over: Callable[[], bool]) -> None:
    """Let `learn` learn concepts, and train each guess that is due, until there is nothing more for this worker."""
    learn(should_drain=lambda: leases.guess_is_due or is_over())
    while not (leases.finished or is_over()) and (guess := leases.take_guess()) is not None:
        guesses.train(guess)
        learn(should_drain=lambda: leases.guess_is_due or is_over())


def _for_packs(model: BaseModel, pack: PackSettings) -> BaseModel:
    """The model as packs use it."""
    if not pack.compiled:
        return model
    if has_compiler():
        return compiled(model)
    _LOG.warning("there is no C++ compiler here (g++), so nothing is compiled: steps take longer")
    return model


def slots_for(model: BaseModel, num_slots: int | Literal["auto"] | None) -> int | Literal["auto"]:
    """How many concepts a worker trains at once."""
    if num_slots is not None:
        return num_slots
    return SLOTS_ON_CPU if model.device.type == "cpu" else "auto"


class Notice:
    """Whether this node is to be taken away soon (a spot instance, a drained node)."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._looked = -LOOK_S
        self._given = False

    def __call__(self) -> bool:
        """Look, at most once a second."""
        if not self._given and time.monotonic() - self._looked > LOOK_S:
            self._looked = time.monotonic()
            self._given = self._node in draining_nodes()
        return self._given


def draining_nodes() -> dict[str, Any]:
    """Nodes that are being drained; Ray Train's own watch is off for independent workers."""
    from ray._private.state import state

    nodes: dict[str, Any] = state.get_draining_nodes()
    return nodes
