"""Making sure that a driver serves a job: on this machine, or on the cluster that the settings name.

Owns starting drivers. A local one is a process that outlives the terminal; on a cluster it is a Ray job, one per fleet.
Does not wait for jobs.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster.options import DriverOptions
from cluster.places import LocalPlace, cluster_fleet, store_settings
from textinv.errors import ClusterError, SettingsError
from textinv.settings import Settings, environment_of

START_S = 60.0
_POLL_S = 0.05
_TAIL_LINES = 12
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ROOT = Path(__file__).resolve().parents[1]


def fleet_of(settings: Settings) -> str:
    """The fleet that these settings mean.

    Raises:
        SettingsError: a cluster could not reach the store.
    """
    if settings.ray_address is None:
        return LocalPlace(settings.home).fleet
    if settings.store.endpoint_url is None and urlsplit(settings.ray_address).hostname not in _LOOPBACK:
        raise SettingsError(
            f"the cluster at {settings.ray_address} cannot reach the embedded store of this machine: set "
            "store.endpoint_url to a store that both can reach"
        )
    return cluster_fleet(settings.ray_address, settings.store)


def ensure_driver(settings: Settings, options: DriverOptions) -> bool:
    """Make sure that a driver serves the fleet of these settings; whether one had to be started.

    Raises:
        ClusterError: it does not start; the message holds the last words of its log.
    """
    if settings.ray_address is not None:
        return _ensure_on_cluster(settings, settings.ray_address, options)
    place = LocalPlace(settings.home)
    if place.has_driver():
        return False
    process = _spawn(place, settings, options)
    deadline = time.monotonic() + START_S
    while not place.has_driver():
        if process.poll() is not None:
            raise ClusterError(f"the driver did not start: {last_words(place)}", log=str(place.log))
        if time.monotonic() > deadline:
            process.kill()
            raise ClusterError(f"the driver did not start within {START_S:.0f} s: {last_words(place)}")
        time.sleep(_POLL_S)
    return True


def last_words(place: LocalPlace) -> str:
    """The end of the local driver's log."""
    try:
        return "\n".join(place.log.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    except OSError:
        return "it left no log"


def _spawn(place: LocalPlace, settings: Settings, options: DriverOptions) -> subprocess.Popen[bytes]:
    place.prepare()
    environment = os.environ | environment_of(settings) | place.ray_environment()
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
    with place.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "cluster.driver_process", "--options", options.model_dump_json()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=place.home,
            start_new_session=True,
        )


def _ensure_on_cluster(settings: Settings, address: str, options: DriverOptions) -> bool:
    """Submit the driver as a Ray job, unless one is there that has not ended."""
    client, fleet = job_client(address), fleet_of(settings)
    deadline = time.monotonic() + START_S
    while True:
        try:
            return _submit_driver(client, fleet, settings, options)
        except RuntimeError as error:
            if "already exists" in str(error):
                return False  # somebody else was as fast
            if "try again" not in str(error) or time.monotonic() > deadline:
                raise ClusterError(f"the Ray cluster at {address} did not take the driver: {error}") from error
        time.sleep(1.0)  # a cluster that has just started has no agent to submit to yet


def _submit_driver(client: Any, fleet: str, settings: Settings, options: DriverOptions) -> bool:
    jobs = [job for job in client.list_jobs() if (job.metadata or {}).get("textinv-fleet") == fleet]
    if any(not job.status.is_terminal() for job in jobs):
        return False
    client.submit_job(
        entrypoint=f"python -m cluster.driver_process --on-cluster {fleet} --options '{options.model_dump_json()}'",
        submission_id=f"{fleet}-{len(jobs) + 1}",
        metadata={"textinv-fleet": fleet},
        runtime_env={"env_vars": _environment_on_cluster(settings)},
    )
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


def _environment_on_cluster(settings: Settings) -> dict[str, str]:
    """What a driver on a cluster is told: the store and the base models, but not this machine's folders."""
    reached = settings.model_copy(update={"store": store_settings(settings), "ray_address": None})
    told = environment_of(reached)
    return {name: value for name, value in told.items() if name != "TEXTINV_HOME"}


def state_of_driver(settings: Settings) -> dict[str, Any]:
    """Whether a driver serves the fleet of these settings, and where."""
    if settings.ray_address is not None:
        jobs = job_client(settings.ray_address).list_jobs()
        mine = [job for job in jobs if (job.metadata or {}).get("textinv-fleet") == fleet_of(settings)]
        running = [job for job in mine if not job.status.is_terminal()]
        return {"running": bool(running), "ray_job": running[0].submission_id if running else None}
    place = LocalPlace(settings.home)
    return {"running": place.has_driver(), "pid": place.driver_pid(), "log": str(place.log)}
