"""Who starts a fleet's driver again when it died: a small actor on the head of the cluster, which outlives it.

Owns looking at the cluster's jobs and submitting the driver's anew, as it was, less and less often while it dies at
once. A driver that somebody stopped (`ray job stop`) stays stopped. Does not know the store: a driver takes everything
up from there. `Supervision` is a plain class; only the actor knows Ray.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.queue.on_ray import NAMESPACE
from cluster.worker.meters import Board, RayBoard
from textinv.jobs.cluster_driver import JobClient, drivers_of, next_id
from textinv.threads import vital

LOOK_S = 5.0
MAX_PAUSE_S = 300.0
SETTLED_S = 300.0
"""A driver that has lived for so long has not died at once."""
STOPPED = "STOPPED"
_HEAD = "node:__internal_head__"
_LOG = logging.getLogger("textinv.supervisor")


class Supervision:
    """Keeps a fleet's driver alive; `look` is called every few seconds."""

    def __init__(
        self, fleet: str, client: JobClient, board: Board, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fleet, self._client, self._board, self._clock = fleet, client, board, clock
        self._last: Any = None
        """The driver's job as it was last seen: it may be deleted since."""
        self._started = self._not_before = float("-inf")
        self._failures = 0

    def look(self) -> bool:
        """Start the driver again if it died; whether one lives."""
        jobs = drivers_of(self._client, self._fleet)
        living = next((job for job in jobs if not job.status.is_terminal()), None)
        self._last = living or max(jobs, key=lambda job: job.start_time or 0, default=self._last)
        self._board.set("textinv_driver_lives", float(living is not None), fleet=self._fleet)
        if living is not None:
            return True
        if self._last is not None and str(self._last.status) != STOPPED and self._clock() >= self._not_before:
            self._start(self._last)
        return False

    def _start(self, last: Any) -> None:
        self._failures = 0 if self._clock() - self._started > SETTLED_S else self._failures + 1
        self._started = self._clock()
        self._not_before = self._started + min(MAX_PAUSE_S, LOOK_S * 2.0 ** min(self._failures, 10))
        told = {name: value for name, value in (last.runtime_env or {}).items() if not name.startswith("_")}
        try:
            self._client.submit_job(
                entrypoint=last.entrypoint,
                # Not that of a job that was deleted since: Ray may still be busy with what it left.
                submission_id=next_id(self._fleet, [*drivers_of(self._client, self._fleet), last]),
                metadata=dict(last.metadata),
                runtime_env=told,
            )
            _LOG.warning("the driver of fleet %s died: a new one continues where it stopped", self._fleet)
        except RuntimeError as error:  # somebody else was as fast, or the cluster does not take it now
            _LOG.warning("the driver of fleet %s could not be started again: %s", self._fleet, error)


class SupervisorActor:
    """A supervision in a process of its own."""

    def __init__(self, fleet: str) -> None:
        from ray.dashboard.utils import ray_address_to_api_server_url
        from ray.job_submission import JobSubmissionClient

        client = JobSubmissionClient(ray_address_to_api_server_url("auto"))
        self._supervision = Supervision(fleet, client, RayBoard())
        vital(self._watch, "textinv-supervisor").start()

    def is_there(self) -> bool:
        """Whether it has started."""
        return True

    def _watch(self) -> None:
        while True:
            try:
                self._supervision.look()
            except (OSError, RuntimeError) as error:
                _LOG.warning("the cluster's jobs cannot be read: %s", error)
            time.sleep(LOOK_S)


def start_supervisor(fleet: str) -> None:
    """See that the fleet of the cluster that this process runs in has a supervisor on its head."""
    head = next((node["NodeID"] for node in ray.nodes() if node["Alive"] and _HEAD in node["Resources"]), None)
    where = {} if head is None else {"scheduling_strategy": NodeAffinitySchedulingStrategy(head, soft=False)}
    ray.remote(SupervisorActor).options(
        name=f"supervisor-{fleet}",
        namespace=NAMESPACE,
        get_if_exists=True,
        lifetime="detached",
        num_cpus=0,
        max_restarts=-1,
        **where,
    ).remote(fleet)
