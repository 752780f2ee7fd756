"""Starting, finding and stopping a service on this machine.

Owns what `textinv serve up`, `down` and `status` do. On a cluster an operator deploys `services/deploy/serve.yaml`.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from services.config import ServiceConfig
from services.local.state import ServiceFolder, ServiceState, ServiceToKeep
from textinv.errors import ServiceError, SettingsError
from textinv.processes import kill_processes_with, last_words, processes_with
from textinv.settings import Settings, environment_of
from textinv.store import ensure_store

START_S = 240.0
_STOP_S = 60.0
_POLL_S = 0.2
_PORT_S = 20.0
"""A process that was killed holds its ports until its memory is freed (0.5 s for 1.2 GB), and is not seen then."""


def start_service(settings: Settings, config: ServiceConfig, host: str, port: int) -> ServiceState:
    """Start a service and wait until it is ready; one that already runs is left alone.

    Raises:
        SettingsError: the port is taken, or the settings name a cluster.
        StoreError: the store does not start, or cannot be reached.
        ServiceError: it does not start; the message holds the last words of its log.
    """
    check_no_cluster(settings)
    ensure_store(settings)
    folder = ServiceFolder(settings.home)
    folder.prepare()
    with folder.keeper_lock() as lock:
        running = folder.load()
        if lock is None and running is not None:
            _wait_until_ready(folder, running, folder.is_kept)
            return running
        if lock is None:
            raise ServiceError(f"a service is being started in {folder.path} by somebody else; wait for it")
        _end_remains(running)  # of a keeper that was killed
        _check_port(host, port, _PORT_S if running else 0.0)
        process, state = _spawn(folder, settings, ServiceToKeep(config=config, host=host, port=port), lock)
    _wait_until_ready(folder, state, lambda: process.poll() is None)
    return state


def stop_service(settings: Settings) -> bool:
    """Stop the service that was started here; whether there was one.

    Raises:
        ServiceError: it does not stop.
    """
    folder = ServiceFolder(settings.home)
    state = folder.load()
    if state is None:
        return False
    stopped = folder.is_kept() and _end(folder, state)
    folder.forget()
    return stopped


def check_no_cluster(settings: Settings) -> None:
    """Check that a service on this machine is what the settings mean.

    Raises:
        SettingsError: they name a Ray cluster.
    """
    if settings.ray_address is not None:
        raise SettingsError(
            f"ray_address is {settings.ray_address!r}, but this command starts a service on this machine only: deploy "
            "services/deploy/serve.yaml on the cluster's own Serve (`serve deploy`), or leave ray_address out"
        )


def is_ready(url: str) -> bool:
    """Whether a service could draw now."""
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as reply:
            return int(reply.status) == 200
    except (urllib.error.URLError, OSError):
        return False


def keeper_environment(settings: Settings, ray_folder: str) -> dict[str, str]:
    """The environment of a keeper: these settings, and a Ray of its own that asks for a new token."""
    return (
        os.environ
        | environment_of(settings)
        | {
            "RAY_TMPDIR": ray_folder,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            # Loopback only, which Ray calls its way on other systems; here it would listen on all interfaces.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_SERVE_LOG_TO_STDERR": "0",
        }
    )


def _spawn(
    folder: ServiceFolder, settings: Settings, told: ServiceToKeep, lock: int
) -> tuple[subprocess.Popen[bytes], ServiceState]:
    # Ray's sockets lie in here, and their paths may have 107 characters only.
    ray_folder = tempfile.mkdtemp(prefix="textinv-")
    with folder.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.local.keeper"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=keeper_environment(settings, ray_folder),
            pass_fds=(lock,),
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(told.model_dump_json().encode())
    process.stdin.close()
    state = ServiceState(
        url=f"http://{told.host}:{told.port}",
        base_model=told.config.base_model,
        pid=process.pid,
        ray_folder=ray_folder,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    folder.save(state)
    return process, state


def _wait_until_ready(folder: ServiceFolder, state: ServiceState, lives: Callable[[], bool]) -> None:
    if _wait(lambda: not lives() or is_ready(state.url), START_S) and lives():
        return
    said = last_words(folder.log)
    if folder.is_kept():
        _end(folder, state)
    folder.forget()
    raise ServiceError(f"the service did not start: {said}", log=str(folder.log))


def _end(folder: ServiceFolder, state: ServiceState) -> bool:
    """Stop the keeper; what is left of its process session is ended by force."""
    os.kill(state.pid, signal.SIGTERM)
    if not _wait(lambda: not folder.is_kept(), _STOP_S):
        os.killpg(state.pid, signal.SIGKILL)
        if not _wait(lambda: not folder.is_kept(), _POLL_S * 20):
            raise ServiceError(f"the service (process {state.pid}) does not stop; end it by hand")
    _remove_ray_folder(state)
    return True


def _end_remains(state: ServiceState | None) -> None:
    """End the Ray of a keeper that is gone, which may still hold the port, and remove its folder."""
    if state and state.ray_folder:
        _wait(lambda: not _killed_some(state.ray_folder), _STOP_S)
    _remove_ray_folder(state)


def _killed_some(ray_folder: str) -> bool:
    kill_processes_with("RAY_TMPDIR", ray_folder)
    return any(processes_with("RAY_TMPDIR", ray_folder))


def _remove_ray_folder(state: ServiceState | None) -> None:
    if state and state.ray_folder and Path(state.ray_folder).name.startswith("textinv-"):
        shutil.rmtree(state.ray_folder, ignore_errors=True)


def _check_port(host: str, port: int, patience_s: float) -> None:
    """Check that a port can be had, at once or within `patience_s`.

    Raises:
        SettingsError: it cannot.
    """
    if not _wait(lambda: _port_problem(host, port) is None, patience_s):
        why = _port_problem(host, port) or "it was in use until now"
        raise SettingsError(
            f"port {port} of {host} cannot be used ({why}): stop what uses it, or choose another with --port"
        )


def _port_problem(host: str, port: int) -> str | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return None


def _wait(is_so: Callable[[], bool], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True
