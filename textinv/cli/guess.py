"""`textinv guess`: train the network that predicts a concept's first rows, and see which ones there are.

Owns the commands. Does not know how it is trained, nor where it lies.
"""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from textinv.cli.config import current_settings
from textinv.cli.generate import load_for
from textinv.cli.output import AsJson, counted, emit, literal, rows_table, stderr, warn
from textinv.cli.waiting import waiting_for
from textinv.errors import InputError, TextinvError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from textinv.guess.concepts import Concepts
    from textinv.models.base import BaseModel
    from textinv.models.picture_encoder import PictureEncoder
    from textinv.registry.guesses import GuessRecord, ListedGuess
    from textinv.settings import Settings
    from textinv.store.protocol import ObjectStore

STEPS = 2000
NOTHING: "Mapping[str, Any]" = {}


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Networks that predict a concept's first rows from its pictures.")
    group.command("train")(train)
    group.command("ls")(ls)
    group.command()(show)
    group.command()(rm)
    app.add_typer(group, name="guess")


def train(
    base: Annotated[str, typer.Option("--base", help="Base model to train for: an alias, a hub id or a folder.")],
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="A tree of folders, each of pictures of one concept; default: what is shared."),
    ] = None,
    styles: Annotated[bool, typer.Option("--styles", help="With --folder: ways of drawing, not things.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 16 sample passes each.")] = STEPS,
    json: AsJson = False,
) -> None:
    """Train a guess in this process, and publish it if it beats ranked words on concepts that it has not seen: by the
    loss, beyond chance, and without less likeness of what it draws.

    Without --folder it learns from the concepts of the store that their tenants share (`textinv concept share` lists
    them). About one in seven of the concepts is held out, by a hash of its name. The training goes on where it was left
    off, with the same folders or shares and base model; Ctrl-C saves it first.
    """
    train_here(base, folder, styles, steps, json)


def train_here(base: str, folder: Path | None, styles: bool, steps: int, json: bool) -> None:
    """Train a guess in this process, from folders or from what is shared, and publish it if it is worth it."""
    from textinv.guess.running import Run, begun, encoder_for, finished
    from textinv.guess.shared import forget
    from textinv.guess.training import Settings
    from textinv.registry.guesses import NOT_PUBLISHED, publish_guess, worth_text
    from textinv.store import ensure_store

    settings = current_settings()
    store = ensure_store(settings)
    lesson = _lesson_of_shares(base, styles, store, settings) if folder is None else _lesson_of_folder(folder, styles)
    model = load_for([], base, None, settings)
    encoder = encoder_for(model, settings.encoders)
    concepts = lesson.open(model, encoder)
    state = lesson.state or settings.home / "guesses" / f"{model.revision[:16]}-{concepts.stamp[:16]}.pt"
    training = begun(model, encoder, concepts.draw, Settings(num_steps=steps))
    run = Run(training, state, lambda line: stderr().print(literal(line)))
    before = signal.signal(signal.SIGINT, run.end)
    try:
        if not run.train():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
    with waiting_for(f"measuring it on {len(concepts.held_out)} concepts that it has not seen"):
        guess = finished(
            model, encoder, training, concepts.unseen(), base_model=base, concepts=len(concepts.trained),
            source=lesson.source, shares=concepts.learned_from,
        )  # fmt: skip
    if not guess.record.held_out["is_better"]:
        raise TextinvError(f"{worth_text(guess.digest, guess.record)}: {NOT_PUBLISHED}")
    publish_guess(store, guess)
    forget(state)
    tell_published(guess.digest, guess.record, json)


def tell_published(digest: str, record: "GuessRecord", json: bool, facts: "Mapping[str, Any]" = NOTHING) -> None:
    """Say which guess is current now, and what it is worth."""
    from textinv.registry.guesses import worth_text

    told = {**facts, "digest": digest, **record.model_dump(mode="json")}
    emit(told, json, f"published: {worth_text(digest, record)}")


class _Lesson(NamedTuple):
    """What a guess learns from."""

    source: str
    open: "Callable[[BaseModel, PictureEncoder], Concepts]"
    state: Path | None = None
    """Where its training is kept; None: it goes by the concepts."""


def _lesson_of_folder(folder: Path, styles: bool) -> _Lesson:
    from textinv.guess.folders import FolderTree

    def opened(model: "BaseModel", encoder: "PictureEncoder") -> "Concepts":
        tree = FolderTree(folder, model, encoder, "style" if styles else "object")
        if tree.too_few:
            warn(f"{len(tree.too_few)} folders hold a single picture and are passed over, such as {tree.too_few[0]}")
        return tree

    return _Lesson(f"the folders of {folder.name}", opened)


def _lesson_of_shares(base: str, styles: bool, store: "ObjectStore", settings: "Settings") -> _Lesson:
    """What is shared; whether that is enough shows before the base model is loaded."""
    from textinv.guess.shared import SharedConcepts, pinned_shares, source_of
    from textinv.models import look_up

    check_styles(styles)
    revision = look_up(base, aliases=settings.base_models).revision
    state = settings.home / "guesses" / f"{revision[:16]}-shared.pt"
    found = pinned_shares(store, base, revision, state)
    return _Lesson(source_of(found), lambda model, encoder: SharedConcepts(found, store, model, encoder), state)


def check_styles(styles: bool) -> None:
    """Check what is said of shared concepts.

    Raises:
        InputError: that they are styles.
    """
    if styles:
        raise InputError("--styles is said of a --folder: of shared concepts, manifests say what they are")


def ls(json: AsJson = False) -> None:
    """List the guesses of the store."""
    from textinv.registry.guesses import list_guesses
    from textinv.store import ensure_store

    rows = [_row(one) for one in list_guesses(ensure_store(current_settings()))]
    emit(rows, json, rows_table(rows))


def show(
    digest: Annotated[str, typer.Argument(help="A guess, or how its digest begins.")], json: AsJson = False
) -> None:
    """Show what a guess was trained on, what it was found to be worth, and why it is not used where it is stale."""
    from textinv.registry.guesses import find_guess
    from textinv.store import ensure_store

    found = find_guess(ensure_store(current_settings()), digest)
    record = found.record.model_dump(mode="json")
    if not json:
        record["shares"] = counted(len(found.record.shares), "concept")
    emit({"digest": found.digest, "current": found.is_current, "stale": found.stale, **record}, json)


def rm(digest: Annotated[str, typer.Argument(help="A guess, or how its digest begins.")], json: AsJson = False) -> None:
    """Remove a guess; the one that was current before it is again. Jobs that wait and name it will fail."""
    from textinv.registry.guesses import find_digest, remove_guess
    from textinv.store import ensure_store

    store = ensure_store(current_settings())
    found = find_digest(store, digest)
    remove_guess(store, found)
    emit({"removed": found}, json, f"removed {found[:12]}")


def _row(one: "ListedGuess") -> dict[str, Any]:
    return {
        "digest": one.digest[:12],
        "base": one.record.base_model,
        "current": "yes" if one.is_current else "",
        "stale": one.stale or "",
        "concepts": one.record.concepts,
        "sample_passes": one.record.sample_passes,
        "better": one.record.held_out.get("better", ""),
        "made": one.record.made,
    }
