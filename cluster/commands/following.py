"""What `submit --follow`, `job wait` and `job show --follow` share: watching a job to its end, and saying how it ended.

Owns restarting a driver that died while somebody watches. Does not draw.
"""

import time
from collections.abc import Mapping
from typing import Any

import typer

from cluster.commands.follow import follow
from cluster.driver.launch import ensure_driver
from cluster.driver.options import DriverOptions
from textinv.cli.config import current_settings
from textinv.cli.output import emit, stderr, warn
from textinv.errors import ClusterError
from textinv.jobs import JobRecord, JobStatus, JobStore
from textinv.jobs.cluster_driver import fleet_of
from textinv.settings import Settings

_LOOK_S = 3.0
MAX_RESTARTS = 3
"""A driver that dies more often under one watcher is not started again."""


def settings_at(address: str | None) -> Settings:
    """The settings that hold, with another cluster if one is named."""
    settings = current_settings()
    return settings if address is None else settings.model_copy(update={"ray_address": address})


class DriverWatch:
    """Starts a new driver when the old one died."""

    def __init__(self, settings: Settings, options: DriverOptions) -> None:
        self._settings, self._options = settings, options
        self._looked = time.monotonic()
        self._restarts = 0

    def __call__(self) -> None:
        """Look, every few seconds.

        Raises:
            ClusterError: drivers die again and again.
        """
        if time.monotonic() - self._looked < _LOOK_S:
            return
        self._looked = time.monotonic()
        if ensure_driver(self._settings, self._options):
            self._restarts += 1
            if self._restarts > MAX_RESTARTS:
                raise ClusterError(f"the driver died {self._restarts} times: see `textinv job logs --driver`")
            warn("the driver had died; another one goes on where it was")


def watch(
    job_store: JobStore, record: JobRecord, settings: Settings, options: DriverOptions, timeout_s: float | None = None
) -> JobStatus:
    """Follow a job on standard error to its end."""
    if record.fleet != fleet_of(settings):
        return follow(job_store, record, stderr(), timeout_s=timeout_s)
    return follow(job_store, record, stderr(), keep_alive=DriverWatch(settings, options), timeout_s=timeout_s)


def end_with(status: JobStatus, json: bool, facts: Mapping[str, Any] | None = None) -> None:
    """Say how a job ended; fails when it did not end well."""
    counts = {name: getattr(status, name) for name in ("done", "failed", "cancelled", "running", "waiting")}
    text = f"job {status.job_id}: {status.state} ({', '.join(f'{n} {name}' for name, n in counts.items() if n)})"
    for concept in status.concepts:
        if concept.state == "failed":
            text += f"\n{concept.name}: {concept.problem}"
    if status.problem:
        text += f"\n{status.problem}"
    emit({**(facts or {}), "status": status.model_dump(mode="json")}, json, text)
    if status.state != "done":
        raise typer.Exit(1)
