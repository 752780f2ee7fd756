"""Making sure that a driver serves a job, from the command line, and looking at it.

Owns the way to a cluster's jobs, through Ray's jobs API, and that a local driver is waited for. How a driver is started
is known to `textinv.jobs.fleet_driver`.
"""

import os
from typing import Any

from cluster.driver.local_ray import LocalRay
from cluster.driver.options import DriverOptions
from textinv.errors import ClusterError
from textinv.jobs.cluster_driver import running_driver
from textinv.jobs.fleet_driver import LocalFleet, fleet_for
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings


def ensure_driver(settings: Settings, options: DriverOptions) -> bool:
    """Make sure that a driver serves the fleet of these settings; whether one had to be started.

    Raises:
        ClusterError: it does not start; the message holds the last words of its log.
    """
    told = options.model_dump_json()
    if settings.ray_address is not None:
        return fleet_for(settings, told, job_client).ensure()
    fleet = LocalFleet(settings, told, os.environ | LocalRay(settings.home).environment())
    started = fleet.ensure()
    if started:
        fleet.wait()
    return started


def fleet_of(settings: Settings) -> str:
    """The name of the fleet that these settings mean: of their cluster, else of their home folder.

    Raises:
        ClusterError: the cluster does not answer.
    """
    return fleet_for(settings, "{}", job_client).name


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
    driver = HomeDriver(settings.home)
    return {"running": driver.has_driver(), "pid": driver.driver_pid(), "log": str(driver.log)}
