"""`textinv fleet`: the workers of this machine or of a cluster, how many there may be, and sending them home.

Owns the commands; settings are written into the store, from where the fleet's driver reads them.
"""

import json as json_module
import os
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cluster.fleet import FleetSettings, settings_key, status_key
from cluster.following import settings_at
from cluster.launch import fleet_of, state_of_driver
from cluster.places import LocalPlace
from textinv.cli.output import AsJson, emit, rows_table
from textinv.errors import ClusterError, InputError, ObjectNotFoundError
from textinv.settings import Settings
from textinv.store.protocol import JSON

if TYPE_CHECKING:
    from textinv.store import ObjectStore

Address = Annotated[str | None, typer.Option(help="Jobs address of a Ray cluster; default: a local Ray.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Training workers and their driver.")
    for command in (status, scale, drain, stop):
        group.command()(command)
    app.add_typer(group, name="fleet")


def status(address: Address = None, json: AsJson = False) -> None:
    """Show the driver, the crews and the workers."""
    settings = settings_at(address)
    facts = {"driver": state_of_driver(settings), **_last_status(_store(settings), fleet_of(settings))}
    if json:
        emit(facts, json)
        return
    emit({name: value for name, value in facts.items() if name != "workers"}, json)
    if facts["driver"]["running"] and facts.get("workers"):
        columns = ("id", "node", "pid", "concepts", "silent_s")
        emit(None, json, rows_table({column: worker[column] for column in columns} for worker in facts["workers"]))


def scale(
    min_workers: Annotated[int | None, typer.Option("--min", min=0, help="Workers that stay without work.")] = None,
    max_workers: Annotated[int | None, typer.Option("--max", min=1, help="Most workers at a time.")] = None,
    crew_size: Annotated[int | None, typer.Option(min=1, help="Workers that come and go together.")] = None,
    address: Address = None,
    json: AsJson = False,
) -> None:
    """Change how many workers there may be, and end a drain."""
    given = {"min_workers": min_workers, "max_workers": max_workers, "crew_size": crew_size}
    _change(address, {name: value for name, value in given.items() if value is not None} | {"draining": False}, json)


def drain(address: Address = None, json: AsJson = False) -> None:
    """Let all workers save what they have and go; jobs wait until `textinv fleet scale`."""
    _change(address, {"draining": True}, json)


def stop(json: AsJson = False) -> None:
    """Stop the local driver after its workers saved what they have; jobs go on with the next `submit` or `resume`."""
    pid = LocalPlace(settings_at(None).home).driver_pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    emit({"stopped": pid is not None}, json, "it saves what it has and goes" if pid else "there was no driver")


def _change(address: str | None, changes: dict[str, Any], json: bool) -> None:
    settings = settings_at(address)
    store, fleet = _store(settings), fleet_of(settings)
    known = {**_last_status(store, fleet).get("settings", {}), **_written(store, fleet), **changes}
    changed = FleetSettings.model_validate(known)
    if changed.min_workers > changed.max_workers:
        raise InputError(f"--min {changed.min_workers} is more than --max {changed.max_workers}")
    store.put(settings_key(fleet), changed.model_dump_json().encode(), JSON)
    emit(changed, json)


def _store(settings: Settings) -> "ObjectStore":
    from textinv.store import ensure_store

    return ensure_store(settings)


def _last_status(store: "ObjectStore", fleet: str) -> dict[str, Any]:
    return _json_at(store, status_key(fleet))


def _written(store: "ObjectStore", fleet: str) -> dict[str, Any]:
    return _json_at(store, settings_key(fleet))


def _json_at(store: "ObjectStore", key: str) -> dict[str, Any]:
    try:
        found = json_module.loads(store.get(key).body)
    except ObjectNotFoundError:
        return {}
    except ValueError as error:
        raise ClusterError(f"{key} in the store is no JSON: {error}") from error
    return dict(found)
