"""`textinv guess train` where there is a fleet: the training is a job like any other, which is followed.

Owns the command, in the place of that of `textinv.cli.guess`, which trains in its own process and is still what folders
and `--here` mean: the fleet sees no folders of this machine.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.config import settings_at
from textinv.cli.guess import STEPS, check_styles, tell_published, train_here
from textinv.cli.output import AsJson, counted, emit, literal, stderr
from textinv.cli.waiting import waiting_for
from textinv.states import MAX_PRIORITY

if TYPE_CHECKING:
    from textinv.jobs.guess_submission import GuessSubmission
    from textinv.settings import Settings
    from textinv.store.protocol import ObjectStore


def register(app: typer.Typer) -> None:
    """Add the command to those about guesses, in the place of the one that knows no fleet, or as the first of them."""
    group = next((one.typer_instance for one in app.registered_groups if one.name == "guess"), None)
    if group is None:
        group = typer.Typer()
        app.add_typer(group, name="guess")
    group.registered_commands = [one for one in group.registered_commands if one.name != "train"]
    group.command("train")(train)


def train(
    base: Annotated[str, typer.Option("--base", help="Base model to train for: an alias, a hub id or a folder.")],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            help="Train here, from a tree of folders, each of pictures of one concept; default: what is shared.",
        ),
    ] = None,
    styles: Annotated[bool, typer.Option("--styles", help="With --folder: ways of drawing, not things.")] = False,
    here: Annotated[bool, typer.Option("--here", help="Train in this process, not on the fleet.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 16 sample passes each.")] = STEPS,
    address: Annotated[str | None, typer.Option(help="Jobs address of a Ray cluster; default: a local Ray.")] = None,
    follow: Annotated[bool, typer.Option(help="Show progress until the job ends.")] = True,
    priority: Annotated[
        int, typer.Option(min=-MAX_PRIORITY, max=MAX_PRIORITY, help="Jobs with a higher priority come first.")
    ] = 0,
    json: AsJson = False,
) -> None:
    """Train a guess, and publish it if it beats ranked words on concepts that it has not seen: by the loss, beyond
    chance, and without less likeness of what it draws.

    It learns from the concepts of the store that their tenants share (`textinv concept share` lists them), as a job of
    the fleet: one worker trains it, and another goes on if that dies; `textinv job` shows, cancels and resumes it. With
    --folder or --here it is trained in this process, which goes on where it was left off; Ctrl-C saves it first. About
    one in seven of the concepts is held out, by a hash of its name.
    """
    if folder is not None or here:
        train_here(base, folder, styles, steps, json)
        return
    check_styles(styles)
    settings = settings_at(address)
    store, made, facts = _submitted(base, steps, priority, settings)
    if made.digest is None:
        _follow(store, made, facts, settings, follow, json)
    if made.digest is not None or follow:
        _tell(store, made, facts, json)


def _submitted(
    base: str, steps: int, priority: int, settings: "Settings"
) -> tuple["ObjectStore", "GuessSubmission", dict[str, Any]]:
    """Put the job into the store, and start a driver where one is needed."""
    from cluster.driver.launch import ensure_driver, fleet_of
    from cluster.driver.options import DriverOptions
    from textinv.jobs.guess_submission import submit_guess
    from textinv.models import look_up
    from textinv.registry import Registry
    from textinv.store import ensure_store

    if base.startswith((".", "~")):  # workers start elsewhere
        base = str(Path(base).expanduser().resolve())
    registry, revision = Registry(ensure_store(settings)), look_up(base, aliases=settings.base_models).revision
    made = submit_guess(registry, base, revision, steps=steps, fleet=fleet_of(settings), priority=priority)
    with waiting_for("starting the driver"):
        started = made.digest is None and ensure_driver(settings, DriverOptions())
    facts = {"job": made.record.id, "fleet": made.record.fleet, "is_new": made.is_new, "driver_started": started}
    return registry.store, made, facts


def _follow(
    store: "ObjectStore",
    made: "GuessSubmission",
    facts: dict[str, Any],
    settings: "Settings",
    follow: bool,
    json: bool,
) -> None:
    """Say what is trained, and show how far it is until it ends; fails where it does not end well."""
    from cluster.commands.follow import end_with, watch
    from cluster.driver.options import DriverOptions
    from textinv.jobs import JobStore

    what = f"a guess for {made.order.base_model} from {counted(len(made.order.shares), 'shared concept')}"
    text = f"job {made.record.id}: {what}{'' if made.is_new else ', which is under way already'}"
    if not follow:
        emit(facts, json, text)
        return
    stderr().print(literal(text))
    status = watch(JobStore(store), made.record, settings, DriverOptions())
    if status.state != "done":
        end_with(status, json, facts)


def _tell(store: "ObjectStore", made: "GuessSubmission", facts: dict[str, Any], json: bool) -> None:
    """Say which guess it has become."""
    from textinv.jobs.guess_order import trained_guess
    from textinv.registry.guesses import find_guess

    found = find_guess(store, trained_guess(store, made.order) or "")
    tell_published(found.digest, found.record, json, facts)
