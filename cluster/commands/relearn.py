"""`textinv concept relearn`: learn what there is on another base model, from the pictures in the store.

Owns the command alone; what is planned is `textinv.plan.relearn`'s.
"""

from pathlib import Path
from typing import Annotated

import typer

from cluster.commands.submit import Gate, gate_mode
from textinv.cli.config import settings_at
from textinv.cli.output import AsJson, counted, emit, warn


def register(app: typer.Typer) -> None:
    """Add the command to those about concepts, or as the first of them."""
    group = next((one.typer_instance for one in app.registered_groups if one.name == "concept"), None)
    if group is None:
        group = typer.Typer()
        app.add_typer(group, name="concept")
    group.command()(relearn)


def relearn(
    base: Annotated[str, typer.Option("--base", help="The base model to learn on: alias, hub id, folder or file.")],
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Concepts; default: all.")] = None,
    address: Annotated[str | None, typer.Option(help="Jobs address of a Ray cluster; default: a local Ray.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be learned.")] = False,
    gate: Gate = "on",
    json: AsJson = False,
) -> None:
    """Learn concepts on another base model, from the pictures in the store; services on the old one keep theirs."""
    from cluster.driver.launch import ensure_driver, fleet_of
    from cluster.driver.options import DriverOptions
    from textinv.jobs.submission import submit_plan
    from textinv.models import look_up
    from textinv.plan.relearn import plan_relearning
    from textinv.plan.resolve import BaseFacts
    from textinv.registry import Registry
    from textinv.store import ensure_store

    if base.startswith((".", "~")):  # workers start elsewhere
        base = str(Path(base).expanduser().resolve())
    settings, mode = settings_at(address), gate_mode(gate)
    registry = Registry(ensure_store(settings))
    facts = BaseFacts(**look_up(base, aliases=settings.base_models)._asdict())
    relearning = plan_relearning(names or [], base, facts, registry, settings)
    plan, left = relearning.plan, relearning.plan.counts["new"] + relearning.plan.counts["changed"]
    for name, why in relearning.left_out.items():
        warn(f"{name} is left out: {why}")
    told = {"counts": dict(plan.counts), "left_out": dict(relearning.left_out), "dry_run": dry_run}
    if dry_run:
        emit({**told, "concepts": plan.to_json()["concepts"]}, json, f"{counted(left, 'concept')} to learn on {base}")
        return
    made = submit_plan(plan, registry, base_model=base, fleet=fleet_of(settings), gate=mode)
    started = bool(left) and ensure_driver(settings, DriverOptions())
    text = f"job {made.record.id}: {left} of {counted(made.record.num_concepts, 'concept')} to learn on {base}"
    emit({"job": made.record.id, "driver_started": started, **told}, json, text)
