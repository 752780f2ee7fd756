"""What is written down about a service that runs on this machine, what its keeper is told, and whether it still lives.

Owns the folder `<home>/serve`. The keeper holds a lock on `keeper.lock` as long as it lives, because the open file is
handed down to it; so a state file that was left behind is never believed, and a process id is never mistaken.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from services.config import ServiceConfig
from textinv.locks import is_held, try_lock


class ServiceToKeep(BaseModel):
    """A service to hold; store and credentials come through the environment, so none is written here."""

    model_config = ConfigDict(frozen=True)

    config: ServiceConfig
    host: str
    port: int


class ServiceState(BaseModel):
    """A service as it was started; `pid` is its keeper's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    url: str
    base_model: str
    pid: int
    ray_folder: str
    started: str


class ServiceFolder:
    """The folder of one local service."""

    def __init__(self, home: Path) -> None:
        self.path = home.absolute() / "serve"
        self.log = self.path / "service.log"
        self._state = self.path / "state.json"
        self._lock = self.path / "keeper.lock"

    def prepare(self) -> None:
        """Make the folder, for its owner only."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def load(self) -> ServiceState | None:
        """Read the state; None when there is none."""
        try:
            return ServiceState.model_validate_json(self._state.read_bytes())
        except (OSError, ValidationError):
            return None

    def save(self, state: ServiceState) -> None:
        """Write the state."""
        draft = self._state.with_suffix(".new")
        draft.write_text(state.model_dump_json(indent=2))
        draft.replace(self._state)

    def forget(self) -> None:
        """Remove the state."""
        self._state.unlink(missing_ok=True)

    def is_kept(self) -> bool:
        """Whether a keeper lives."""
        return is_held(self._lock)

    @contextlib.contextmanager
    def keeper_lock(self) -> Iterator[int | None]:
        """Take the lock for a keeper to be started with; None when a keeper lives already."""
        descriptor = try_lock(self._lock)
        try:
            yield descriptor
        finally:
            if descriptor is not None:
                os.close(descriptor)
