"""`textinv validate`: everything that is wrong with a manifest, without a base model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from textinv.cli.current import current_settings
from textinv.cli.output import AsJson, emit, stderr

if TYPE_CHECKING:
    from textinv.plan.check import Checked

ManifestFile = Annotated[Path, typer.Argument(metavar="MANIFEST", help="A manifest (YAML).")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(validate)


def validate(manifest: ManifestFile, json: AsJson = False) -> None:
    """Check a manifest and its pictures; exits with 2 when something is wrong, and says all of it."""
    from textinv.plan.check import check_manifest

    checked = check_manifest(manifest, current_settings())
    if not json:
        _complain(checked)
    if json or not checked.problems:
        emit(
            checked.to_json(), json, f"{manifest}: {checked.concepts} concepts, {checked.pictures} pictures, no mistake"
        )
    if checked.problems:
        raise typer.Exit(2)


def _complain(checked: "Checked") -> None:
    console = stderr()
    for warning in checked.warnings:
        console.print("warning:", str(warning), style="yellow", markup=False)
    for problem in checked.problems:
        console.print("error:", str(problem), style="red", markup=False)
