"""The driver of a cluster's fleet, as one of the cluster's own jobs.

Owns the fleet's name and what is asked of the cluster: which session it is, which of its jobs is the fleet's driver,
and submitting one when there is none. The cluster's client comes from the caller, so nothing of it is known here but
these questions. A fleet is a cluster's session working for a store, whatever addresses both are reached at: whoever is
inside of a network and whoever is outside mean the same one, and another cluster behind the same address is another.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import urlsplit

from textinv.errors import ClusterError, SettingsError
from textinv.jobs.home_driver import DRIVER_MODULE
from textinv.settings import FILE_VARIABLE, Settings, StoreSettings, environment_of, is_loopback, variable_of
from textinv.store import EmbeddedServer, connect_store
from textinv.store.identity import store_identity

START_S = 180.0
"""A cluster that has just started on a busy machine takes so long to have an agent that takes jobs."""
RETRY_S = 1.0
FLEET = "textinv-fleet"
FLEETS_OF_CLUSTERS = "cluster-"
"""What their names begin with."""


class JobClient(Protocol):
    """What `ray.job_submission.JobSubmissionClient` does."""

    def _do_request(self, method: str, endpoint: str) -> Any:
        """Ask for something that there is no method for."""
        ...

    def list_jobs(self) -> list[Any]:
        """All jobs of the cluster, with `metadata`, `status` and `submission_id`."""
        ...

    def submit_job(
        self, *, entrypoint: str, submission_id: str, metadata: dict[str, str], runtime_env: dict[str, Any]
    ) -> str:
        """Run a command line on the cluster."""
        ...


def cluster_fleet(client: JobClient, settings: Settings) -> str:
    """The fleet of a cluster that works for the store of these settings.

    Raises:
        ClusterError: the cluster does not say which it is.
        StoreError: the store cannot be asked which it is.
    """
    session = hashlib.sha256(_session_of(client, settings.ray_address).encode()).hexdigest()
    return f"{FLEETS_OF_CLUSTERS}{session[:8]}-{store_identity(connect_store(store_settings(settings)))}"


def check_reach(settings: Settings) -> None:
    """Check that a cluster could reach the store of these settings.

    Raises:
        SettingsError: it could not.
    """
    if settings.store.endpoint_url is None and not is_loopback(urlsplit(settings.ray_address or "").hostname):
        raise SettingsError(
            f"the cluster at {settings.ray_address} cannot reach the embedded store of this machine: set "
            "store.endpoint_url to a store that both can reach"
        )


def _session_of(client: JobClient, address: str | None) -> str:
    """What a cluster calls itself, from its start to its end."""
    try:
        return str(client._do_request("GET", "/api/version").json()["session_name"])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise ClusterError(
            f"the session of the Ray cluster at {address} cannot be read: {type(error).__name__}: {error}"
        ) from error


def store_settings(settings: Settings) -> StoreSettings:
    """How workers reach the store; the embedded one is started when none is configured."""
    return settings.store if settings.store.endpoint_url else EmbeddedServer(settings.home).up()


def running_driver(client: JobClient, fleet: str) -> str | None:
    """The id of the cluster's job that is the fleet's driver, if it has not ended."""
    return next((job.submission_id for job in drivers_of(client, fleet) if not job.status.is_terminal()), None)


def ensure_on_cluster(client: JobClient, settings: Settings, fleet: str, options: str) -> bool:
    """Submit a fleet's driver with `options` (JSON), unless there is one; whether one had to be submitted.

    Raises:
        ClusterError: the cluster does not take it.
    """
    environment = _environment(settings)
    deadline = time.monotonic() + START_S
    while True:
        try:
            return _submit(client, fleet, environment, options)
        except RuntimeError as error:
            is_passing = "already exists" in str(error) or "try again" in str(error)
            if not is_passing or time.monotonic() > deadline:
                raise ClusterError(
                    f"the Ray cluster at {settings.ray_address} did not take the driver: {error}"
                ) from error
        # A cluster that has just started has no agent to submit to yet; and where somebody else was as fast, there is
        # a driver at the next look.
        time.sleep(RETRY_S)


def _submit(client: JobClient, fleet: str, environment: Mapping[str, str], options: str) -> bool:
    if running_driver(client, fleet) is not None:
        return False
    client.submit_job(
        entrypoint=f"python -m {DRIVER_MODULE} --on-cluster {fleet} --options '{options}'",
        submission_id=next_id(fleet, drivers_of(client, fleet)),
        metadata={FLEET: fleet},
        runtime_env={"env_vars": dict(environment)},
    )
    return True


def next_id(fleet: str, known: Iterable[Any]) -> str:
    """An id for the fleet's next driver: its number is one more than that of any that is known, as old ones may be
    deleted."""
    ends = (re.search(r"-(\d+)$", job.submission_id or "") for job in known)
    return f"{fleet}-{1 + max((int(end[1]) for end in ends if end), default=0)}"


def drivers_of(client: JobClient, fleet: str) -> list[Any]:
    """The cluster's jobs that are or were the fleet's driver."""
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
