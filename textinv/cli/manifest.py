"""`textinv validate` and `textinv plan`: what is wrong with a manifest, and what submitting it would do and cost.

Validating needs neither a base model nor a store.
"""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group

from textinv.cli.config import current_settings
from textinv.cli.output import AsJson, counted, emit, literal, rows_table, stderr, warn
from textinv.cli.waiting import counting

if TYPE_CHECKING:
    from textinv.plan import Plan
    from textinv.plan.check import Checked
    from textinv.plan.estimate import Estimate

ManifestFile = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (YAML).")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(validate)
    app.command()(plan)


def validate(manifest: ManifestFile, json: AsJson = False) -> None:
    """Check a manifest and its pictures: list every problem, and exit with 2 if there is one."""
    from textinv.plan.check import check_manifest

    checked = check_manifest(manifest, current_settings())
    if not json:
        _complain(checked)
    if json or not checked.problems:
        counts = f"{counted(checked.concepts, 'concept')}, {counted(checked.pictures, 'picture')}"
        emit(checked.to_json(), json, f"{manifest}: {counts}, no problems")
    if checked.problems:
        raise typer.Exit(2)


def _complain(checked: "Checked") -> None:
    console = stderr()
    for warning in checked.warnings:
        console.print(literal(f"warning: {warning}", "yellow"))
    for problem in checked.problems:
        console.print(literal(f"error: {problem}", "red"))


SHOWN = 50


def plan(
    manifest: ManifestFile,
    all_concepts: Annotated[bool, typer.Option("--all", help=f"List all concepts, not the first {SHOWN}.")] = False,
    specs: Annotated[bool, typer.Option("--specs", help="With --json: print the complete specs too.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the store which concepts are done.")] = False,
    json: AsJson = False,
) -> None:
    """Say which concepts are new, changed or done, and estimate the work that is left."""
    made = _made(manifest, offline)
    if json:
        data = made.to_json()
        if specs:
            data["specs"] = [planned.spec.model_dump(mode="json") for planned in made.specs]
        emit(data, json)
        return
    for warning in made.warnings:
        warn(str(warning))
    shown = made.specs if all_concepts else made.specs[:SHOWN]
    columns = ("name", "state", "recipe", "pictures", "reason")
    rows = [{column: planned.to_json()[column] for column in columns} for planned in shown]
    more = [f"... and {len(made.specs) - len(shown)} more (--all lists them)"] if len(shown) < len(made.specs) else []
    emit(None, json, Group(rows_table(rows), *more, literal(_summary(made))))


def _made(manifest: ManifestFile, offline: bool) -> "Plan":
    from textinv.manifest import load_manifest
    from textinv.plan import make_plan

    settings = current_settings()
    loaded = load_manifest(manifest)
    registry = None
    if not offline:
        from textinv.registry import Registry
        from textinv.store import ensure_store

        registry = Registry(ensure_store(settings))
    with counting("looking at pictures") as count:
        return make_plan(loaded, registry, settings=settings, progress=count)


def _summary(made: "Plan") -> str:
    counts = ", ".join(f"{count} {state}" for state, count in made.counts.items())
    return "\n".join([f"{made.name}: {counts}", _cost(made.estimate), *made.notes])


def _cost(estimate: "Estimate") -> str:
    if not estimate.concepts:
        return "nothing to learn"
    text = f"about {estimate.sample_passes:,} sample passes (at most {estimate.max_sample_passes:,})"
    if estimate.preview_passes:
        text += f", {estimate.preview_passes:,} for previews"
    if estimate.init_passes:
        text += f", {estimate.init_passes:,} for finding initializers"
    if estimate.evaluation_passes:
        text += f", {estimate.evaluation_passes:,} for scoring what was learned"
    if estimate.worker_s is None:
        return f"{text}\nthe time is known once a concept has been learned on this base model"
    text += f"\n{timedelta(seconds=round(estimate.worker_s))} on one worker, going by earlier ones"
    if estimate.cost is None:
        return f"{text} (gpu_hour_price adds the cost)"
    return f"{text}, costing about {estimate.cost:,.2f}"
