"""`textinv guess`: train the network that predicts a concept's first rows, and see which ones there are.

Owns the commands. Does not know how it is trained, nor where it lies.
"""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.config import current_settings
from textinv.cli.generate import load_for
from textinv.cli.output import AsJson, emit, literal, rows_table, stderr, warn
from textinv.cli.waiting import waiting_for
from textinv.errors import TextinvError

if TYPE_CHECKING:
    from textinv.registry.guesses import GuessFile, ListedGuess
    from textinv.spec import Kind

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
    folder: Annotated[Path, typer.Option("--folder", help="A tree of folders, each of pictures of one concept.")],
    styles: Annotated[bool, typer.Option("--styles", help="The concepts are ways of drawing, not things.")] = False,
    steps: Annotated[int, typer.Option(min=1, help="Steps of 16 sample passes each.")] = STEPS,
    json: AsJson = False,
) -> None:
    """Train a guess, and publish it if it beats ranked words on concepts that it has not seen: by the loss, beyond
    chance, and without less likeness of what it draws.

    About one in seven of the concepts is held out for that, by a hash of its name. The training goes on where it was
    left off, with the same folders and base model; Ctrl-C saves it first.
    """
    from textinv.guess.folders import FolderTree
    from textinv.guess.running import Run, begun, encoder_for, finished
    from textinv.guess.training import Settings
    from textinv.registry.guesses import publish_guess
    from textinv.store import ensure_store

    settings, kind = current_settings(), _kind(styles)
    store = ensure_store(settings)
    model = load_for([], base, None, settings)
    encoder = encoder_for(model, settings.encoders)
    tree = FolderTree(folder, model, encoder, kind)
    if tree.too_few:
        warn(f"{len(tree.too_few)} folders hold a single picture and are passed over, such as {tree.too_few[0]}")
    training = begun(model, encoder, tree.draw, Settings(num_steps=steps))
    state = settings.home / "guesses" / f"{model.revision[:16]}-{tree.stamp[:16]}.pt"
    run = Run(training, state, lambda line: stderr().print(literal(line)))
    before = signal.signal(signal.SIGINT, run.end)
    try:
        if not run.train():
            raise KeyboardInterrupt
    finally:
        signal.signal(signal.SIGINT, before)
    with waiting_for(f"measuring it on {len(tree.held_out)} concepts that it has not seen"):
        guess = finished(
            model, encoder, training, tree.unseen(), base_model=base, concepts=len(tree.trained), kinds=[kind],
            source=f"the folders of {folder.name}",
        )  # fmt: skip
    if not guess.record.held_out["is_better"]:
        raise TextinvError(f"{_worth(guess)}: it is not published; train it on more concepts, or for more --steps")
    publish_guess(store, guess)
    state.unlink()
    emit({"digest": guess.digest, **guess.record.model_dump(mode="json")}, json, f"published: {_worth(guess)}")


def ls(json: AsJson = False) -> None:
    """List the guesses of the store."""
    from textinv.registry.guesses import list_guesses
    from textinv.store import ensure_store

    rows = [_row(one) for one in list_guesses(ensure_store(current_settings()))]
    emit(rows, json, rows_table(rows))


def show(
    digest: Annotated[str, typer.Argument(help="A guess, or how its digest begins.")], json: AsJson = False
) -> None:
    """Show what a guess was trained on, and what it was found to be worth."""
    from textinv.registry.guesses import find_guess
    from textinv.store import ensure_store

    found = find_guess(ensure_store(current_settings()), digest)
    emit({"digest": found.digest, "current": found.is_current, **found.record.model_dump(mode="json")}, json)


def rm(digest: Annotated[str, typer.Argument(help="A guess, or how its digest begins.")], json: AsJson = False) -> None:
    """Remove a guess; the one that was current before it is again. Jobs that wait and name it will fail."""
    from textinv.registry.guesses import find_guess, remove_guess
    from textinv.store import ensure_store

    store = ensure_store(current_settings())
    found = find_guess(store, digest)
    remove_guess(store, found)
    emit({"removed": found.digest}, json, f"removed {found.digest[:12]}")


def _kind(styles: bool) -> "Kind":
    return "style" if styles else "object"


def _worth(guess: "GuessFile") -> str:
    found = guess.record.held_out
    losses = found["loss"]
    return (
        f"guess {guess.digest[:12]} for {guess.record.base_model}: on {found['concepts']} concepts that it has not "
        f"seen its loss is {losses['guess']:.4f}, that of ranked words {losses['words']:.4f} (better by "
        f"{found['better']:.4f}, at least {found['at_least']:.4f} beyond chance), the likeness "
        f"of what it draws {found['likeness']['guess']:.3f}, theirs {found['likeness']['words']:.3f}"
    )


def _row(one: "ListedGuess") -> dict[str, Any]:
    return {
        "digest": one.digest[:12],
        "base": one.record.base_model,
        "current": "yes" if one.is_current else "",
        "concepts": one.record.concepts,
        "sample_passes": one.record.sample_passes,
        "better": one.record.held_out.get("better", ""),
        "made": one.record.made,
    }
