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
    from collections.abc import Callable

    from textinv.guess.concepts import Concepts
    from textinv.models.base import BaseModel
    from textinv.models.picture_encoder import PictureEncoder
    from textinv.registry.guesses import GuessFile, ListedGuess
    from textinv.settings import Settings
    from textinv.store.protocol import ObjectStore

STEPS = 2000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(no_args_is_help=True, help="Networks that predict a concept's first rows from its pictures.")
    group.command()(train)
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
    """Train a guess, and publish it if it beats ranked words on concepts that it has not seen: by the loss, beyond
    chance, and without less likeness of what it draws.

    Without --folder it learns from the concepts of the store that their tenants share (`textinv concept share` lists
    them). About one in seven of the concepts is held out, by a hash of its name. The training goes on where it was left
    off, with the same folders or shares and base model; Ctrl-C saves it first.
    """
    from textinv.guess.running import Run, begun, encoder_for, finished
    from textinv.guess.shared import forget
    from textinv.guess.training import Settings
    from textinv.registry.guesses import publish_guess
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
        raise TextinvError(f"{_worth(guess)}: it is not published; train it on more concepts, or for more --steps")
    publish_guess(store, guess)
    forget(state)
    emit({"digest": guess.digest, **guess.record.model_dump(mode="json")}, json, f"published: {_worth(guess)}")


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
    from textinv.guess.shared import SharedConcepts, pinned_shares
    from textinv.models import look_up

    if styles:
        raise InputError("--styles is said of a --folder: of shared concepts, manifests say what they are")
    revision = look_up(base, aliases=settings.base_models).revision
    state = settings.home / "guesses" / f"{revision[:16]}-shared.pt"
    found = pinned_shares(store, base, revision, state)
    tenants = len({one.tenant for one in found})
    source = f"{counted(len(found), 'shared concept')} of {counted(tenants, 'tenant')}"
    return _Lesson(source, lambda model, encoder: SharedConcepts(found, store, model, encoder), state)


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
    from textinv.registry.guesses import find_guess, remove_guess
    from textinv.store import ensure_store

    store = ensure_store(current_settings())
    found = find_guess(store, digest)
    remove_guess(store, found)
    emit({"removed": found.digest}, json, f"removed {found.digest[:12]}")


def _worth(guess: "GuessFile") -> str:
    found = guess.record.held_out
    losses = found["loss"]
    return (
        f"guess {guess.digest[:12]} for {guess.record.base_model}: on {found['concepts']} concepts that it has not "
        f"seen its loss is {losses['guess']:.4f}, that of ranked words {losses['words']:.4f} (better by "
        f"{found['better']:.4f}, at least {found['at_least']:.4f} beyond chance), the likeness "
        f"of what it draws {found['likeness']['guess']:.3f}, theirs {found['likeness']['words']:.3f}; better for "
        f"{' and '.join(f'{kind}s' for kind in guess.record.kinds) or 'neither objects nor styles'}"
    )


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
