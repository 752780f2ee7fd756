"""Making sure that a driver serves a job: on this machine, or on the cluster that the settings name.

Owns starting drivers. A local one is a process that outlives the terminal; on a cluster it is a Ray job, one per fleet.
Does not wait for jobs.
"""

import os
import time
from typing import Any

from cluster.driver.options import DriverOptions
from cluster.driver.places import LocalPlace
from textinv.errors import ClusterError
from textinv.jobs.cluster_driver import START_S, ensure_on_cluster, fleet_of, running_driver
from textinv.settings import Settings

_POLL_S = 0.05


def ensure_driver(settings: Settings, options: DriverOptions) -> bool:
    """Make sure that a driver serves the fleet of these settings; whether one had to be started.

    Raises:
        ClusterError: it does not start; the message holds the last words of its log.
    """
    if settings.ray_address is not None:
        return ensure_on_cluster(job_client(settings.ray_address), settings, options.model_dump_json())
    place = LocalPlace(settings.home)
    if place.has_driver():
        return False
    rays = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    process = place.spawn(settings, options.model_dump_json(), rays | place.ray_environment())
    deadline = time.monotonic() + START_S
    while not place.has_driver():
        if process.poll() is not None:
            raise ClusterError(f"the driver did not start: {place.last_words()}", log=str(place.log))
        if time.monotonic() > deadline:
            process.kill()
            raise ClusterError(f"the driver did not start within {START_S:.0f} s: {place.last_words()}")
        time.sleep(_POLL_S)
    return True


def job_client(address: str) -> Any:
    """The client of a cluster's jobs.

    Raises:
        ClusterError: the cluster cannot be reached.
    """
    from ray.job_submission import JobSubmissionClient

    try:
        return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(f"the Ray cluster at {address} cannot be reached: {error}") from error


def state_of_driver(settings: Settings) -> dict[str, Any]:
    """Whether a driver serves the fleet of these settings, and where."""
    if settings.ray_address is not None:
        ray_job = running_driver(job_client(settings.ray_address), fleet_of(settings))
        return {"running": ray_job is not None, "ray_job": ray_job}
    place = LocalPlace(settings.home)
    return {"running": place.has_driver(), "pid": place.driver_pid(), "log": str(place.log)}
