"""A fleet as the store knows it: how many workers it may have, and how it was when its driver last looked.

Owns the JSON of a fleet's settings and where it lies; whoever can reach the store may change them, and the driver reads
them. Does not know what a worker is nor who starts it.
"""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from textinv.errors import CorruptObjectError, InputError, ObjectNotFoundError
from textinv.states import changes_nothing
from textinv.store.change import change
from textinv.store.protocol import ObjectStore


class FleetSettings(BaseModel):
    """How many workers a fleet may have, those of all its base models together; kept in the store, changed by `textinv
    fleet scale` and `drain`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    min_workers: int = Field(default=0, ge=0)
    """Kept even when there is nothing to do, once a base model is known."""
    max_workers: int = Field(default=1, ge=1)
    crew_size: int = Field(default=1, ge=1)
    """Workers of a crew: those of one node, usually."""
    draining: bool = False
    """Whether all workers shall hand back what they have and go."""


FLEETS = "fleets/"


def settings_key(fleet: str) -> str:
    """Key of a fleet's settings."""
    return f"{FLEETS}{fleet}/settings.json"


def status_key(fleet: str) -> str:
    """Key of a fleet's status."""
    return f"{FLEETS}{fleet}/status.json"


class StoredFleet:
    """A fleet's settings and status in `store`."""

    def __init__(self, store: ObjectStore, fleet: str) -> None:
        self._store = store
        self.fleet = fleet

    def status(self) -> dict[str, Any]:
        """How the driver last saw the fleet; empty when it never had one."""
        return self._json_at(status_key(self.fleet))

    def settings(self) -> FleetSettings:
        """What holds: what somebody wrote, else what the driver was started with, else the defaults."""
        return FleetSettings.model_validate(self._known())

    def change(self, changes: Mapping[str, Any]) -> FleetSettings:
        """Write settings for the driver to read, and return all that hold now.

        Raises:
            InputError: fewer workers are allowed than shall always be there.
        """
        body = change(
            self._store,
            settings_key(self.fleet),
            lambda stored: self._changed(stored, changes).model_dump_json().encode(),
        )
        return FleetSettings.model_validate(self._json_of(settings_key(self.fleet), body))

    def _changed(self, stored: bytes | None, changes: Mapping[str, Any]) -> FleetSettings:
        known = {**self._started_with(), **self._json_of(settings_key(self.fleet), stored)}
        changed = FleetSettings.model_validate({**known, **changes})
        if changed.min_workers > changed.max_workers:
            raise InputError(
                f"min is {changed.min_workers}, more than max ({changed.max_workers}): raise max or lower min",
                param="min",
            )
        return changed

    def drain(self) -> str | None:
        """Let all workers hand back what they have and go; why that changes nothing, if it does not."""
        note = changes_nothing("fleet", self.fleet, "drained" if self.settings().draining else "serving", "drain")
        if note is None:
            self.change({"draining": True})
        return note

    def _known(self) -> dict[str, Any]:
        return {**self._started_with(), **self._json_at(settings_key(self.fleet))}

    def _started_with(self) -> dict[str, Any]:
        return dict(self.status().get("settings", {}))

    def _json_at(self, key: str) -> dict[str, Any]:
        try:
            return self._json_of(key, self._store.get(key).body)
        except ObjectNotFoundError:
            return {}

    def _json_of(self, key: str, body: bytes | None) -> dict[str, Any]:
        try:
            return {} if body is None else dict(json.loads(body))
        except (ValueError, TypeError) as error:
            raise CorruptObjectError(f"{key} in the store is not a JSON object: {error}", key=key) from error
