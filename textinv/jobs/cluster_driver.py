"""The driver of a cluster's fleet, as one of the cluster's own jobs.

Owns what is asked of the cluster: which of its jobs is the fleet's driver, and submitting one when there is none. The
cluster's client comes from the caller, so nothing of it is known here but the two questions.
"""

import time
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from textinv.errors import ClusterError, SettingsError
from textinv.jobs.home_driver import DRIVER_MODULE, HomeDriver, cluster_fleet
from textinv.settings import FILE_VARIABLE, Settings, StoreSettings, environment_of, is_loopback, variable_of
from textinv.store import EmbeddedServer

START_S = 60.0
FLEET = "textinv-fleet"


class JobClient(Protocol):
    """What `ray.job_submission.JobSubmissionClient` does."""

    def list_jobs(self) -> list[Any]:
        """All jobs of the cluster, with `metadata`, `status` and `submission_id`."""
        ...

    def submit_job(
        self, *, entrypoint: str, submission_id: str, metadata: dict[str, str], runtime_env: dict[str, Any]
    ) -> str:
        """Run a command line on the cluster."""
        ...


def fleet_of(settings: Settings) -> str:
    """The fleet that these settings mean: of their cluster, else of their home folder.

    Raises:
        SettingsError: a cluster could not reach the store.
    """
    if settings.ray_address is None:
        return HomeDriver(settings.home).fleet
    if settings.store.endpoint_url is None and not is_loopback(urlsplit(settings.ray_address).hostname):
        raise SettingsError(
            f"the cluster at {settings.ray_address} cannot reach the embedded store of this machine: set "
            "store.endpoint_url to a store that both can reach"
        )
    return cluster_fleet(settings.ray_address, settings.store)


def store_settings(settings: Settings) -> StoreSettings:
    """How workers reach the store; the embedded one is started when none is configured."""
    return settings.store if settings.store.endpoint_url else EmbeddedServer(settings.home).up()


def running_driver(client: JobClient, fleet: str) -> str | None:
    """The id of the cluster's job that is the fleet's driver, if it has not ended."""
    return next((job.submission_id for job in _drivers(client, fleet) if not job.status.is_terminal()), None)


def ensure_on_cluster(client: JobClient, settings: Settings, options: str) -> bool:
    """Submit the fleet's driver with `options` (JSON), unless there is one; whether one had to be submitted.

    Raises:
        ClusterError: the cluster does not take it.
    """
    fleet = fleet_of(settings)
    environment = _environment(settings)
    deadline = time.monotonic() + START_S
    while True:
        try:
            return _submit(client, fleet, environment, options)
        except RuntimeError as error:
            if "already exists" in str(error):
                return False  # somebody else was as fast
            if "try again" not in str(error) or time.monotonic() > deadline:
                raise ClusterError(
                    f"the Ray cluster at {settings.ray_address} did not take the driver: {error}"
                ) from error
        time.sleep(1.0)  # a cluster that has just started has no agent to submit to yet


def _submit(client: JobClient, fleet: str, environment: Mapping[str, str], options: str) -> bool:
    if running_driver(client, fleet) is not None:
        return False
    client.submit_job(
        entrypoint=f"python -m {DRIVER_MODULE} --on-cluster {fleet} --options '{options}'",
        submission_id=f"{fleet}-{len(_drivers(client, fleet)) + 1}",
        metadata={FLEET: fleet},
        runtime_env={"env_vars": dict(environment)},
    )
    return True


def _drivers(client: JobClient, fleet: str) -> list[Any]:
    return [job for job in client.list_jobs() if (job.metadata or {}).get(FLEET) == fleet]


_TOLD = ("store.endpoint_url", "store.bucket", "store.prefix", "store.region", "base_models", "encoders", "device")


def _environment(settings: Settings) -> dict[str, str]:
    """What a driver on a cluster is told: where the store is, base models, encoders, but never a key.

    Whoever may list the cluster's jobs reads this. Keys are those of the nodes' environment, or of the settings file
    that `TEXTINV_CONFIG` names there; of the embedded store, which a cluster of this machine only can reach, they lie
    in a file that its owner only can read.
    """
    told = environment_of(settings.model_copy(update={"store": store_settings(settings)}))
    found = {variable: told[variable] for variable in map(variable_of, _TOLD) if variable in told}
    if settings.store.endpoint_url is None:
        found[FILE_VARIABLE] = str(EmbeddedServer(settings.home).write_keys())
    return found
