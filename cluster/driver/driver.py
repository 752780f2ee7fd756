"""The driver of a fleet: serves the jobs that are written in the store, and outlives each of them.

Owns the rounds: which jobs there are, the base models that they need, the fleet's settings and status. It may be killed
at any time: a new one takes everything up from the store. Started by `cluster.driver.process`.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from pydantic import ValidationError

from cluster.driver.base_model import GRACE_S, ServedBaseModel
from cluster.driver.crews import CrewStarter, Others, num_workers
from cluster.driver.left_behind import LeftBehind
from cluster.driver.open_jobs import OpenJobs
from cluster.driver.reports import EVERY_S, Reports
from cluster.queue.messages import BaseModelRef
from cluster.queue.on_ray import QueueForDriver
from cluster.worker.meters import Board, NoBoard, QueueMeters
from textinv.errors import ClusterError, ObjectNotFoundError, StoreError, StoreUnreachableError
from textinv.jobs.fleet import FleetSettings, settings_key, status_key
from textinv.jobs.record import now
from textinv.registry import Registry
from textinv.store.protocol import JSON

POLL_S = 0.5
MAX_TROUBLES = 5
"""After so many rounds in a row that Ray failed, the driver ends; whoever follows a job starts another."""
_LOG = logging.getLogger("textinv.driver")


class Driver:
    """Serves a fleet's jobs."""

    def __init__(
        self,
        registry: Registry,
        fleet: str,
        open_queue: Callable[[BaseModelRef], QueueForDriver],
        start_crew: CrewStarter,
        *,
        settings: FleetSettings,
        clock: Callable[[], float] = time.monotonic,
        board: Board | None = None,
        nodes: Callable[[], list[dict[str, Any]]] = list,
    ) -> None:
        """`settings` hold until somebody writes others into the store. `board` shows figures; `nodes` are Ray's."""
        self._registry, self._fleet, self._clock = registry, fleet, clock
        self._open_queue, self._start_crew = open_queue, start_crew
        self._settings, self._nodes = settings, nodes
        self._board = board or NoBoard()
        self._board.set("textinv_driver_started_seconds", time.time())
        self._open_jobs = OpenJobs(registry, fleet)
        self._left_behind = LeftBehind(self._open_jobs.job_store, fleet, clock)
        self._reports = Reports(self._open_jobs.job_store, clock)
        self._base_models: dict[str, ServedBaseModel] = {}
        self._looked = -EVERY_S
        self._busy = clock()

    def round(self) -> None:
        """Do what is due.

        Raises:
            StoreError: the store failed; the next round tries again.
            ClusterError: Ray failed.
        """
        if self._clock() - self._looked >= EVERY_S:
            self._look()
            self._looked = self._clock()
        for base_model in self._base_models.values():
            base_model.look()
        # Whoever has fewest workers, and of these who had none for longest, is the first to get what became free.
        for base_model in sorted(self._base_models.values(), key=lambda one: (num_workers(one.staying), one.served)):
            base_model.staff(self._settings, self._others(base_model))
        if self._open_jobs.jobs:
            self._busy = self._clock()

    def serve(
        self, stop: threading.Event, idle_s: float | None, revive_store: Callable[[], object] = lambda: None
    ) -> None:
        """Do rounds until told to stop, or until there was nothing to do for `idle_s`; then let all workers go.

        `revive_store` is called when the store does not answer.

        Raises:
            ClusterError: Ray fails again and again.
        """
        troubles = 0
        while not stop.is_set() and not (idle_s is not None and self.idle_for_s > idle_s):
            try:
                self.round()
                troubles = 0
            except StoreError as error:
                _LOG.warning("the store failed, which the next round may mend: %s", error)
                if isinstance(error, StoreUnreachableError):
                    with suppress(StoreError):
                        revive_store()
            except ClusterError as error:
                troubles += 1
                if troubles >= MAX_TROUBLES:
                    raise
                _LOG.warning("Ray failed: %s", error)
            stop.wait(POLL_S)
        self.send_home()

    @property
    def idle_for_s(self) -> float:
        """Seconds since there was last a job to serve."""
        return self._clock() - self._busy

    def send_home(self) -> None:
        """Let all workers hand back what they have and go, and stop those that do not."""
        deadline = self._clock() + GRACE_S
        for base_model in self._base_models.values():
            base_model.dismiss_all()
        while any(not crew.ended for crew in self._crews()) and self._clock() < deadline:
            time.sleep(POLL_S / 5)
        for base_model in self._base_models.values():
            base_model.abandon_all()

    def _look(self) -> None:
        """See what changed in the store."""
        for job_id in self._left_behind.take_over(self._open_jobs.passed):
            self._reports.say(job_id, f"its fleet is gone: taken over by fleet {self._fleet}")
        for job_id in self._open_jobs.changed():
            job = self._open_jobs.take_up(job_id)
            if job is None:
                for base_model in self._base_models.values():
                    base_model.queue.close_job(job_id)
                continue
            self._open_jobs.tell(job, self._base_model(job.base).queue)
            self._reports.say(job_id, f"taken up by the driver of fleet {self._fleet}")
        self._read_settings()
        self._registry.store.put(status_key(self._fleet), json.dumps(self.status()).encode(), JSON)

    def _base_model(self, base: BaseModelRef) -> ServedBaseModel:
        if base.base_revision not in self._base_models:
            queue, hear = self._open_queue(base), QueueMeters(self._board, base.name).hear
            self._base_models[base.base_revision] = ServedBaseModel(
                base, queue, self._start_crew, self._open_jobs, self._reports, self._clock, hear
            )
        return self._base_models[base.base_revision]

    def _others(self, base_model: ServedBaseModel) -> Others:
        others = [one for one in self._base_models.values() if one is not base_model]
        return Others(
            workers=sum(num_workers(one.crews) for one in others),
            staying=sum(num_workers(one.staying) for one in others),
            starving=sum(one.is_starving for one in others),
        )

    def _read_settings(self) -> None:
        try:
            stored = self._registry.store.get(settings_key(self._fleet))
            self._settings = FleetSettings.model_validate_json(stored.body)
        except (ObjectNotFoundError, ValidationError):
            return  # those that the driver was started with hold

    def _crews(self) -> list[Any]:
        return [crew for base_model in self._base_models.values() for crew in base_model.crews]

    def status(self) -> dict[str, Any]:
        """What `textinv fleet status` shows."""
        views = [base_model.view for base_model in self._base_models.values() if base_model.view is not None]
        return {
            "fleet": self._fleet,
            "updated": now(),
            "settings": self._settings.model_dump(),
            "jobs": sorted(self._open_jobs.jobs),
            "waiting": sum(view.waiting for view in views),
            "leased": sum(view.leased for view in views),
            "expiries": sum(view.expiries for view in views),
            "repeated_passes": sum(view.repeated_passes for view in views),
            "nodes": self._nodes(),
            "crews": [{"name": crew.name, "workers": crew.num_workers} for crew in self._crews()],
            "workers": [
                {
                    **asdict(worker.card),
                    "concepts": list(worker.leases),
                    "silent_s": round(worker.silent_s, 1),
                    "trouble": worker.trouble,
                }
                for view in views
                for worker in view.workers
            ],
        }
