"""The S3 server that comes along: SeaweedFS (`weed mini`), started and stopped for the user.

Owns one folder, one server process and its keys. Whoever asks first starts it; it survives its starter and is stopped
by `down`. For one user of one machine: it listens on loopback only, but its internal ports trust local processes.

The server holds a lock on `server.lock` as long as it lives, because the open file is handed down to it. That lock, and
not a process id, says whether it runs, so a state file that was left behind is never believed.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from textinv.errors import StoreError, StoreUnreachableError
from textinv.locks import is_held, locked
from textinv.processes import last_words
from textinv.settings import StoreSettings
from textinv.store import weed
from textinv.store.s3 import S3Store
from textinv.store.weed import ServerState, load_state, new_state, save_state

_STOP_S = 10.0
_START_TRIES = 4
_POLL_S = 0.02
_READY_KEY = "probe/embedded"


@dataclass(frozen=True)
class ServerStatus:
    """What is known about the embedded server."""

    running: bool
    healthy: bool
    endpoint_url: str | None
    pid: int | None
    bucket: str
    folder: Path
    stored_bytes: int


class EmbeddedServer:
    """The embedded S3 server whose data lie in `home/store`."""

    def __init__(self, home: Path, bucket: str = "textinv", *, patience_s: float = 30.0) -> None:
        self.folder = home.absolute() / "store"
        self.bucket = bucket
        self._patience_s = patience_s

    def up(self) -> StoreSettings:
        """Make sure that the server runs and return how to reach it; any number of processes may call this at once.

        Raises:
            StoreError: `weed` is not installed, or does not start.
        """
        binary = weed.find_binary()
        weed.make_private(self.folder)
        with locked(self.folder / "start.lock"):
            state = load_state(self.folder) or new_state(self.bucket)
            if not (self._is_running() and self._becomes_healthy(state)):
                state = self._start(binary, state)
            settings = _settings(state)
            # SeaweedFS finds its volumes again within a second, or with its next heartbeat after five.
            if not _wait(lambda: _serves_objects(S3Store(settings)), self._patience_s, every_s=0.2):
                raise StoreError(f"the embedded store in {self.folder} runs but cannot keep objects: is the disk full?")
        return settings

    def down(self) -> bool:
        """Stop the server; whether there was one to stop."""
        return self._stop((signal.SIGTERM, signal.SIGKILL))

    def kill(self) -> bool:
        """Stop the server in the middle of whatever it does; what it has acknowledged is kept."""
        return self._stop((signal.SIGKILL,))

    def settings(self) -> StoreSettings | None:
        """How to reach the server, without starting it; None when it was never started in this folder."""
        state = load_state(self.folder)
        return _settings(state) if state else None

    def write_keys(self) -> Path:
        """Write the server's keys as a settings file that its owner only can read; where it lies.

        Raises:
            StoreError: the server was never started in this folder.
        """
        state = load_state(self.folder)
        if state is None:
            raise StoreError(f"the embedded store was never started in {self.folder}: run `textinv store up`")
        path = self.folder / "keys.toml"
        weed.write_private(path, f'[store]\naccess_key = "{state.access_key}"\nsecret_key = "{state.secret_key}"\n')
        return path

    def status(self) -> ServerStatus:
        """Look at the server without changing anything."""
        state = load_state(self.folder)
        running = state is not None and self._is_running()
        return ServerStatus(
            running=running,
            healthy=running and state is not None and weed.is_healthy(state.s3_port),
            endpoint_url=state.endpoint_url if state else None,
            pid=state.pid if state and running else None,
            bucket=state.bucket if state else self.bucket,
            folder=self.folder,
            stored_bytes=_size_of(self.folder / "data"),
        )

    def _start(self, binary: Path, state: ServerState) -> ServerState:
        for _ in range(_START_TRIES):
            state = state.at_port(weed.free_base_port(state.base_port))
            weed.prepare(self.folder, state)
            with locked(self.folder / "server.lock") as lock:
                pid = weed.spawn(binary, self.folder, state, lock)
            state = state.with_pid(pid)
            save_state(self.folder, state)
            if self._becomes_healthy(state):
                return state
        said = last_words(self.folder / weed.LOG, 5).replace("\n", " | ")
        raise StoreError(f"the embedded store did not start in {self.folder}: {said}", log=str(self.folder / weed.LOG))

    def _stop(self, signals: Sequence[signal.Signals]) -> bool:
        if not self.folder.is_dir():
            return False
        with locked(self.folder / "start.lock"):
            if not self._is_running():
                return False
            # The process id of the state file may belong to somebody else by now.
            pid = weed.find_process(self.folder)
            if pid is None:
                raise StoreError(
                    f"the embedded store in {self.folder} runs, but this machine does not show its process"
                )
            for sign in signals:
                _send(pid, sign)
                if _wait(lambda: not self._is_running(), _STOP_S):
                    return True
        raise StoreError(f"the embedded store in {self.folder} (process {pid}) does not stop; end it by hand")

    def _becomes_healthy(self, state: ServerState) -> bool:
        """Wait for the S3 service; False when the server has died instead."""
        if _wait(lambda: weed.is_healthy(state.s3_port) or not self._is_running(), self._patience_s):
            return self._is_running()
        raise StoreUnreachableError(
            f"the embedded store in {self.folder} (process {state.pid}) does not answer at {state.endpoint_url}: "
            "stop it with `textinv store down` and try again"
        )

    def _is_running(self) -> bool:
        return is_held(self.folder / "server.lock")


def _settings(state: ServerState) -> StoreSettings:
    return StoreSettings(
        endpoint_url=state.endpoint_url,
        bucket=state.bucket,
        access_key=state.access_key,
        secret_key=SecretStr(state.secret_key),
    )


def _serves_objects(store: S3Store) -> bool:
    """Whether what earlier runs stored can be read, which is some time after the server says that it is healthy."""
    # Not through boto3: an early request may be kept waiting for 13 s, while the next one is answered at once.
    status = weed.get_status(store.presign(_READY_KEY, 60))
    if status == 404:
        with contextlib.suppress(StoreError):
            store.make_bucket()
            store.put(_READY_KEY, b"ready")
    return status == 200


def _send(pid: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def _wait(is_so: Callable[[], bool], patience_s: float, every_s: float = _POLL_S) -> bool:
    deadline = time.monotonic() + patience_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(every_s)
    return True


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
