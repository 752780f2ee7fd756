"""Making sure that a driver serves a fleet, whoever asks: the command line, or a service.

Owns the two ways there: a process of this machine that serves a home folder, or a job of the Ray cluster that the
settings name. It is one fleet either way: a home folder or a cluster never gets a second driver. Does not know Ray: who
asks brings the way to the cluster's jobs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from textinv.errors import ClusterError
from textinv.jobs.cluster_driver import (
    START_S,
    JobClient,
    check_reach,
    cluster_fleet,
    ensure_on_cluster,
    running_driver,
)
from textinv.jobs.home_driver import HomeDriver
from textinv.processes import lives
from textinv.settings import Settings

_LOOK_S = 5.0
"""A cluster is asked for its driver at most so often."""
_POLL_S = 0.05

Connect = Callable[[str], JobClient]
"""The client of the jobs of the cluster at an address."""


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


def fleet_for(settings: Settings, options: str, connect: Connect) -> Fleet:
    """The fleet that settings mean; `options` are its driver's, as JSON.

    Raises:
        SettingsError: they name a cluster that could not reach their store.
    """
    if settings.ray_address is not None:
        check_reach(settings)
        return ClusterFleet(settings, settings.ray_address, options, connect)
    return LocalFleet(settings, options)


class LocalFleet:
    """The fleet of this machine's home folder."""

    def __init__(self, settings: Settings, options: str, environment: Mapping[str, str] | None = None) -> None:
        """`environment`: the driver's, beside the settings; None: this process's, without the Ray that it runs in."""
        self._settings, self._options, self._environment = settings, options, environment
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
            env=self._home_driver.environment(self._settings, self._environment),
            cwd=self._home_driver.home,
            start_new_session=True,
            capture_output=True,
            check=True,
        )
        self._pid, self._spawned_at = int(started.stdout), time.monotonic()
        return True

    def wait(self) -> None:
        """Wait until the driver that was started here serves.

        Raises:
            ClusterError: it does not start; the message holds the last words of its log.
        """
        while (found := self.driver()).state == "starting":
            time.sleep(_POLL_S)
        if found.state == "stopped":
            if self._pid is not None and lives(self._pid):
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            raise ClusterError(found.problem or "there is no driver", log=str(self._home_driver.log))

    def driver(self) -> DriverFacts:
        """Look at the driver's lock, and at the process that was started here."""
        if self._home_driver.has_driver():
            self._pid = None
            return DriverFacts("running")
        if self._pid is None:
            return DriverFacts("stopped")
        is_late = time.monotonic() - self._spawned_at >= START_S
        if lives(self._pid) and not is_late:
            return DriverFacts("starting")
        within = f" within {START_S:.0f} s" if lives(self._pid) else ""
        return DriverFacts("stopped", f"the driver did not start{within}: {self._home_driver.last_words()}")


class ClusterFleet:
    """The fleet of a Ray cluster."""

    def __init__(self, settings: Settings, address: str, options: str, connect: Connect) -> None:
        self._settings, self._address, self._options, self._connect = settings, address, options, connect
        self._seen: tuple[float, DriverFacts] = (float("-inf"), DriverFacts("stopped"))
        self._named: tuple[float, str] = (float("-inf"), "")

    @property
    def name(self) -> str:
        """The fleet's name in job records, asked for every few seconds: another cluster may have taken the address. One
        that does not answer now is taken for the one that it was.

        Raises:
            ClusterError: the cluster does not answer, and never has.
        """
        asked_at = time.monotonic()
        if asked_at - self._named[0] > _LOOK_S:
            name = self._named[1]
            try:
                name = cluster_fleet(self._client, self._settings)
            except ClusterError:
                if not name:
                    raise
            self._named = asked_at, name
        return self._named[1]

    def ensure(self) -> bool:
        """Submit the driver as a Ray job, unless one is there that has not ended."""
        started = ensure_on_cluster(self._client, self._settings, self.name, self._options)
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
    def _client(self) -> JobClient:
        try:
            return self._connect(self._address)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise ClusterError(f"the Ray cluster at {self._address} cannot be reached: {error}") from error
