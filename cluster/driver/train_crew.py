"""A crew: one Ray Train run of fixed size whose workers do not depend on each other.

Owns how a crew is started, that a dead worker is replaced without stopping the living, and how a crew that cannot end
is abandoned. When the work is over is decided by the queue, not by `fit()` returning: a lost node that has no spare
keeps it from returning for ever.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from cluster.queue.on_ray import find_queue
from cluster.worker.config import WorkerConfig
from textinv.threads import beside

_PATIENCE_S = 10.0


class IndependentWorkers(Backend):  # type: ignore[misc]
    """No process group: with replica groups, Ray Train replaces the failed worker only (measured with 2.60)."""

    has_replica_groups = True


class IndependentConfig(BackendConfig):  # type: ignore[misc]
    """Chooses `IndependentWorkers`."""

    @property
    def backend_cls(self) -> type[Backend]:
        """The backend."""
        return IndependentWorkers


@dataclass(frozen=True)
class CrewSize:
    """How many workers a crew has, and what each needs."""

    num_workers: int
    resources: Mapping[str, float] = field(default_factory=lambda: {"CPU": 1.0})

    @property
    def use_gpu(self) -> bool:
        """Whether workers need GPUs."""
        return bool(self.resources.get("GPU"))


class TrainCrew:
    """A crew on Ray Train, run in a thread."""

    def __init__(self, config: WorkerConfig, size: CrewSize, storage_path: str) -> None:
        self.name = config.crew
        self.num_workers = size.num_workers
        self._queue = find_queue(config.fleet, config.base)
        self._problem: str | None = None
        self._trainer = DataParallelTrainer(
            _work,
            train_loop_config={"worker": config},
            backend_config=IndependentConfig(),
            scaling_config=ScalingConfig(
                num_workers=size.num_workers, use_gpu=size.use_gpu, resources_per_worker=dict(size.resources)
            ),
            run_config=RunConfig(
                name=config.crew,
                storage_path=storage_path,
                failure_config=FailureConfig(max_failures=-1),
                callbacks=[_Introduction(config.crew, self._queue)],
            ),
        )
        self._thread = beside(self._fit, f"textinv-{config.crew}")
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether `fit()` has returned."""
        return not self._thread.is_alive()

    @property
    def problem(self) -> str | None:
        """Why `fit()` failed."""
        return self._problem

    def abandon(self) -> None:
        """Kill the run's controller, and its workers with it."""
        with suppress(RayError):
            controller = ray.get(self._queue.controller.remote(self.name), timeout=_PATIENCE_S)
            if controller is not None:
                ray.kill(controller)

    def _fit(self) -> None:
        try:
            self._trainer.fit()
        except Exception as error:  # whatever Ray raises: the driver decides what comes next
            self._problem = f"{type(error).__name__}: {error}"


class _Introduction(ControllerCallback):  # type: ignore[misc]
    """Makes the run's controller known to the queue's actor, so that a run which cannot end can be stopped."""

    def __init__(self, crew: str, queue: Any) -> None:
        self._crew, self._queue = crew, queue

    def after_controller_start(self, train_run_context: Any) -> None:
        """Runs inside the controller."""
        self._queue.meet_controller.remote(self._crew, ray.get_runtime_context().current_actor)


def _work(config: dict[str, Any]) -> None:
    from cluster.worker.worker import run_worker  # diffusers and all: only workers need them

    run_worker(config["worker"])
