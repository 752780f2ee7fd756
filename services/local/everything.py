"""The whole of textinv on this machine: what `textinv up` starts and `textinv down` stops.

Owns the order of things: the store comes first and goes last, as service and driver write into it until they end. The
fleet's driver needs no start: the service starts it when a job comes in, and here it is started only for jobs that an
earlier `down` interrupted.
"""

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass

from services.config import ServiceConfig
from services.local.lifecycle import check_no_cluster, is_ready, start_service, stop_service
from services.local.state import ServiceFolder, ServiceState
from services.teaching.learning import fleet_for
from textinv.errors import ClusterError, TextinvError
from textinv.jobs import JobStore
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings
from textinv.store import EmbeddedServer, ensure_store
from textinv.store.protocol import ObjectStore

_DRIVER_STOP_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True)
class Up:
    """What runs. `resumed` names the jobs that go on, as nobody served them."""

    service: ServiceState
    was_up: bool
    resumed: tuple[str, ...]


@dataclass(frozen=True)
class Down:
    """Which parts were there to be stopped."""

    service: bool
    driver: bool
    store: bool


def start_everything(settings: Settings, config: ServiceConfig, host: str, port: int) -> Up:
    """Start what does not run of store and service, and go on with interrupted jobs; a failure leaves nothing new.

    Raises:
        SettingsError: the port is taken, or the settings name a cluster.
        StoreError: the store does not start, or cannot be reached.
        ServiceError: the service does not start.
    """
    check_no_cluster(settings)
    server = _embedded(settings)
    had_store = server is None or server.status().running
    store = ensure_store(settings, answers_soon=True)
    folder = ServiceFolder(settings.home)
    known = folder.load()
    # The Ray of a keeper that was killed answers for a while.
    was_up = known is not None and folder.is_kept() and is_ready(known.url)
    try:
        service = start_service(settings, config, host, port)
    except TextinvError:
        if not had_store:
            _stop_store(settings)
        raise
    return Up(service, was_up, _resume(settings, config, store))


def stop_everything(settings: Settings) -> Down:
    """Stop the service, then the fleet's driver after its workers saved what they have, then the embedded store.

    Raises:
        TextinvError: one of them does not stop.
    """
    return Down(service=stop_service(settings), driver=_stop_driver(settings), store=_stop_store(settings))


def _resume(settings: Settings, config: ServiceConfig, store: ObjectStore) -> tuple[str, ...]:
    fleet, job_store = fleet_for(settings, config.driver_options), JobStore(store)
    left = tuple(job_id for job_id in job_store.open_jobs() if job_store.load(job_id).fleet == fleet.name)
    return left if left and fleet.ensure() else ()


def _stop_driver(settings: Settings) -> bool:
    """End this machine's driver; one on a cluster serves others too, and stays."""
    driver, told = HomeDriver(settings.home), set[int]()
    deadline = time.monotonic() + _DRIVER_STOP_S
    while driver.has_driver() or driver.driver_processes():
        for pid in driver.driver_processes() - told:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            told.add(pid)
        if time.monotonic() > deadline:
            pids = ", ".join(map(str, sorted(told)))
            raise ClusterError(f"the driver (process {pids}) does not stop; end it by hand, then `textinv down` again")
        time.sleep(_POLL_S)
    return bool(told)


def _stop_store(settings: Settings) -> bool:
    server = _embedded(settings)
    return server is not None and server.down()


def _embedded(settings: Settings) -> EmbeddedServer | None:
    """The embedded store, if that is the one which is used."""
    return EmbeddedServer(settings.home) if settings.store.endpoint_url is None else None
