"""`textinv demo-pictures`: write pictures of concepts that the demo base has never seen, with what is true of them.

Owns the command. Does not know what the concepts are nor how they are drawn.
"""

import json as json_module
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.output import AsJson, emit
from textinv.errors import InputError
from textinv.outputs import output_folder, write_output

if TYPE_CHECKING:
    from textinv.demo.concepts import DemoConcept


class PictureUse(StrEnum):
    """What pictures are for; no composition is in both."""

    training = "training"
    evaluation = "evaluation"


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo-pictures")(demo_pictures)


def demo_pictures(
    out: Annotated[Path, typer.Argument(help="Folder to write to; each concept gets a folder in it.", file_okay=False)],
    concept: Annotated[list[str] | None, typer.Option(help="Only concepts of this name; can be given again.")] = None,
    tier: Annotated[
        str | None, typer.Option(help="Only this tier: particular-thing, held-out-object or held-out-style.")
    ] = None,
    use: Annotated[PictureUse, typer.Option(help="Pictures to learn from, or to judge by.")] = PictureUse.training,
    num: Annotated[int, typer.Option(min=1, help="Pictures of each concept.")] = 4,
    seed: Annotated[int, typer.Option(help="Other seeds give other compositions.")] = 0,
    json: AsJson = False,
) -> None:
    """Write pictures of concepts that the demo base has never seen, with captions and ground truth."""
    from textinv.demo.concept_pictures import concept_pictures, ground_truth, write_pictures

    rows = []
    for chosen in _choose(concept, tier):
        pictures = concept_pictures(chosen, use.value, num, seed=seed)
        paths = write_pictures(pictures, output_folder(out / chosen.name))
        truth = {path.name: ground_truth(picture) for path, picture in zip(paths, pictures, strict=True)}
        write_output(out / f"{chosen.name}.json", f"{json_module.dumps(truth, indent=2)}\n".encode())
        rows.append(_row(chosen, out))
    emit(rows, json)


def _choose(names: list[str] | None, tier: str | None) -> "list[DemoConcept]":
    """Concepts by name and tier.

    Raises:
        InputError: a name or tier that does not exist.
    """
    from textinv.demo.concepts import CONCEPTS, TIERS

    known = {concept.name: concept for concept in CONCEPTS}
    if unknown := [name for name in names or [] if name not in known]:
        raise InputError(f"no demo concept is called {unknown[0]!r}; there are: {', '.join(known)}")
    if tier is not None and tier not in TIERS:
        raise InputError(f"no tier is called {tier!r}; there are: {', '.join(TIERS)}")
    chosen = [known[name] for name in names] if names else list(known.values())
    return [concept for concept in chosen if tier is None or concept.tier == tier]


def _row(concept: "DemoConcept", out: Path) -> dict[str, Any]:
    return {
        "name": concept.name,
        "tier": concept.tier,
        "initializer": concept.initializer,
        "description": concept.description,
        "pictures": out / concept.name,
    }
