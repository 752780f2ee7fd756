"""`textinv fleet`: the workers of this machine or of a cluster, how many there may be, and sending them home.

Owns the commands; settings are written into the store, from where the fleet's driver reads them.
"""

import os
import signal
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.config import settings_at
from textinv.cli.output import AsJson, emit, rows_table

if TYPE_CHECKING:
    from textinv.jobs.fleet import StoredFleet
    from textinv.settings import Settings

TABLES = {
    "nodes": ("node", "address", "cpus", "gpus", "gpu_type", "gpu_memory_bytes", "gpu_memory_used_bytes"),
    "workers": ("id", "node", "pid", "concepts", "silent_s"),
}

Address = Annotated[str | None, typer.Option(help="Jobs address of a Ray cluster; default: a local Ray.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Training workers and their driver.")
    for command in (status, scale, drain, stop):
        group.command()(command)
    app.add_typer(group, name="fleet")


def status(address: Address = None, json: AsJson = False) -> None:
    """Show the driver, the crews and the workers."""
    from cluster.driver.launch import state_of_driver

    settings = settings_at(address)
    facts = {"driver": state_of_driver(settings), **_stored_fleet(settings).status()}
    if json:
        emit(facts, json)
        return
    emit({name: value for name, value in facts.items() if name not in TABLES}, json)
    for name, columns in TABLES.items():
        if facts["driver"]["running"] and facts.get(name):
            emit(None, json, rows_table({column: row.get(column) for column in columns} for row in facts[name]))


def scale(
    min_workers: Annotated[
        int | None, typer.Option("--min", min=0, help="Workers to keep even when there is no work.")
    ] = None,
    max_workers: Annotated[int | None, typer.Option("--max", min=1, help="Maximum number of workers.")] = None,
    crew_size: Annotated[int | None, typer.Option(min=1, help="Workers that start and stop together.")] = None,
    address: Address = None,
    json: AsJson = False,
) -> None:
    """Change how many workers there may be, and end a drain."""
    given = {"min_workers": min_workers, "max_workers": max_workers, "crew_size": crew_size}
    _change(address, {name: value for name, value in given.items() if value is not None} | {"draining": False}, json)


def drain(address: Address = None, json: AsJson = False) -> None:
    """Stop all workers once they have saved their work; jobs wait until `textinv fleet scale`."""
    fleet = _stored_fleet(settings_at(address))
    note = fleet.drain()
    emit({**fleet.settings().model_dump(), "changed": note is None, "note": note}, json, note)


def stop(json: AsJson = False) -> None:
    """Stop the local driver once its workers have saved their work; the next `submit` or `resume` continues jobs."""
    from textinv.jobs.home_driver import HomeDriver

    pid = HomeDriver(settings_at(None).home).driver_pid()
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
    emit({"stopped": pid is not None}, json, "it saves its work and stops" if pid else "no driver was running")


def _change(address: str | None, changes: dict[str, Any], json: bool) -> None:
    emit(_stored_fleet(settings_at(address)).change(changes), json)


def _stored_fleet(settings: "Settings") -> "StoredFleet":
    from cluster.driver.launch import fleet_of
    from textinv.jobs.fleet import StoredFleet
    from textinv.store import ensure_store

    return StoredFleet(ensure_store(settings), fleet_of(settings))
