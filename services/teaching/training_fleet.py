"""The fleet that learns what is submitted over HTTP, and making sure that its driver runs.

Owns the two ways there: a Ray job on the cluster that the settings name, through Ray's jobs API; or, without a cluster,
a process beside this service. It is the fleet of `textinv submit`, so a home folder or a cluster has one.
"""

import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

from textinv.errors import ClusterError
from textinv.jobs.cluster_driver import START_S, ensure_on_cluster, fleet_of, running_driver
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings

_LOOK_S = 5.0
"""A cluster is asked for its driver at most so often."""


@dataclass(frozen=True)
class DriverFacts:
    """Whether a driver serves the fleet; `problem` says why the last one that was started here did not."""

    state: Literal["running", "starting", "stopped"]
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """What callers are told of it."""
        return {"running": self.state == "running", "state": self.state, "problem": self.problem}


class Fleet(Protocol):
    """Whoever learns."""

    @property
    def name(self) -> str:
        """The fleet's name in job records."""
        ...

    def ensure(self) -> bool:
        """Make sure that a driver serves the fleet, without waiting for it; whether one was started.

        Raises:
            ClusterError: none can be started.
        """
        ...

    def driver(self) -> DriverFacts:
        """Look at the driver.

        Raises:
            ClusterError: the cluster does not answer.
        """
        ...


def fleet_for(settings: Settings, options: str) -> Fleet:
    """The fleet that settings mean; `options` are its driver's, as JSON."""
    if settings.ray_address is not None:
        return ClusterFleet(settings, settings.ray_address, options)
    return LocalFleet(settings, options)


class LocalFleet:
    """The fleet of this machine's home folder."""

    def __init__(self, settings: Settings, options: str) -> None:
        self._settings, self._options = settings, options
        self._home_driver = HomeDriver(settings.home)
        self._pid: int | None = None
        self._spawned_at = float("-inf")

    @property
    def name(self) -> str:
        """The fleet's name in job records."""
        return self._home_driver.fleet

    def ensure(self) -> bool:
        """Start a driver unless there is one, or one that was started here is on its way."""
        if self.driver().state != "stopped":
            return False
        self._home_driver.prepare()
        command = self._home_driver.command(self._options)
        # Through a shell that ends at once: Ray kills the children of a worker that it stops, and learning goes on.
        started = subprocess.run(
            ["/bin/sh", "-c", '"$@" >>"$0" 2>&1 </dev/null & echo $!', str(self._home_driver.log), *command],
            env=self.environment,
            cwd=self._home_driver.home,
            start_new_session=True,
            capture_output=True,
            check=True,
        )
        self._pid, self._spawned_at = int(started.stdout), time.monotonic()
        return True

    @property
    def environment(self) -> dict[str, str]:
        """The driver's environment; a front has no GPU, and Ray hides them from it, but the fleet may have them all."""
        told = self._home_driver.environment(self._settings)
        return {name: value for name, value in told.items() if value or not name.endswith("VISIBLE_DEVICES")}

    def driver(self) -> DriverFacts:
        """Look at the driver's lock, and at the process that was started here."""
        if self._home_driver.has_driver():
            self._pid = None
            return DriverFacts("running")
        if self._pid is None:
            return DriverFacts("stopped")
        if _lives(self._pid) and time.monotonic() - self._spawned_at < START_S:
            return DriverFacts("starting")
        return DriverFacts("stopped", f"the driver did not start: {self._home_driver.last_words()}")


class ClusterFleet:
    """The fleet of a Ray cluster."""

    def __init__(self, settings: Settings, address: str, options: str) -> None:
        self._settings, self._address, self._options = settings, address, options
        self._seen: tuple[float, DriverFacts] = (float("-inf"), DriverFacts("stopped"))

    @property
    def name(self) -> str:
        """The fleet's name in job records."""
        return fleet_of(self._settings)

    def ensure(self) -> bool:
        """Submit the driver as a Ray job, unless one is there that has not ended."""
        started = ensure_on_cluster(self._client, self._settings, self._options)
        self._seen = (float("-inf"), DriverFacts("running"))
        return started

    def driver(self) -> DriverFacts:
        """Ask the cluster for its jobs, at most every few seconds."""
        asked_at = time.monotonic()
        if asked_at - self._seen[0] > _LOOK_S:
            try:
                found = running_driver(self._client, self.name)
            except (ConnectionError, RuntimeError, OSError) as error:
                raise ClusterError(f"the Ray cluster at {self._address} does not answer: {error}") from error
            self._seen = asked_at, DriverFacts("stopped" if found is None else "running")
        return self._seen[1]

    @cached_property
    def _client(self) -> Any:
        from ray.job_submission import JobSubmissionClient

        try:
            return JobSubmissionClient(self._address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(f"the Ray cluster at {self._address} cannot be reached: {error}") from error


def driver_options(options: Mapping[str, Any]) -> str:
    """A driver's options as its command line takes them."""
    import json

    return json.dumps(dict(options))


def _lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody has asked about does not."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    with suppress(OSError):
        os.kill(pid, 0)
        return not Path("/proc/self").exists()
    return False
