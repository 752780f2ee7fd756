"""`textinv new`: a manifest for folders of pictures.

Owns looking which folders hold pictures and asking about each; its text is `textinv.manifest.new`'s.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from textinv.cli.output import AsJson, counted, emit, literal, stderr
from textinv.errors import InputError
from textinv.outputs import write_output

if TYPE_CHECKING:
    from textinv.manifest.new import NewConcept
    from textinv.spec import Kind


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("new")(new)


def new(
    folder: Annotated[Path, typer.Argument(help="A folder of pictures, or a folder of such folders.", exists=True)],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Default: FOLDER.yaml, beside the folder.")] = None,
    base_model: Annotated[str, typer.Option(help="The base model to learn on.")] = "emoji",
    ask: Annotated[
        bool | None,
        typer.Option("--ask/--no-ask", help="Ask for each concept's kind and class word; default: only on a terminal."),
    ] = None,
    json: AsJson = False,
) -> None:
    """Write a manifest for a folder tree: each folder with pictures in it becomes a concept."""
    from textinv.manifest.new import manifest_text

    out = out or folder.resolve().with_name(f"{folder.resolve().name}.yaml")
    if out.exists():
        raise InputError(f"{out} exists already: name another file with -o, or remove it")
    concepts = list(_concepts(folder, out.expanduser().absolute().parent))
    if not concepts:
        raise InputError(f"{folder} and the folders in it hold no pictures: put those of each concept into a folder")
    if ask if ask is not None else sys.stdin.isatty() and not json:
        concepts = [_asked(one) for one in concepts]
    write_output(out, manifest_text(concepts, base_model, out.name).encode())
    told = [{"name": one.name, "images": one.images, "pictures": one.num_pictures} for one in concepts]
    text = "\n".join(f"<{one.name}>: {counted(one.num_pictures, 'picture')} of {one.images}" for one in concepts)
    emit({"manifest": str(out), "concepts": told}, json, f"{text}\nwrote {out}; next: textinv plan {out}")


def _concepts(folder: Path, home: Path) -> Iterator["NewConcept"]:
    """The folders with pictures in them, in order of their paths, those with a dot in front left out."""
    from textinv.manifest.new import NewConcept, name_of_folder
    from textinv.plan.shelf import CAPTION_SUFFIXES, PICTURE_SUFFIXES

    taken: set[str] = set()
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        pictures = [Path(file) for file in files if Path(file).suffix.lower() in PICTURE_SUFFIXES]
        if not pictures:
            continue
        beside = set(files)
        captions = [one for one in pictures if any({one.stem + s, one.name + s} & beside for s in CAPTION_SUFFIXES)]
        name = name_of_folder(Path(root).resolve().name, taken)
        taken.add(name)
        yield NewConcept(name, os.path.relpath(Path(root).resolve(), home), len(pictures), len(captions))


def _asked(one: "NewConcept") -> "NewConcept":
    stderr().print(literal(f"<{one.name}>, {counted(one.num_pictures, 'picture')} of {one.images}"))
    kind: Kind = _kind(typer.prompt("  a thing or a style? (t/s)", default="t", err=True))
    word = typer.prompt("  what kind of thing is it, in a word? (empty: find out)", default="", err=True).strip()
    return replace(one, kind=kind, class_word=word or None)


def _kind(answer: str) -> Literal["object", "style"]:
    return "style" if answer.strip().lower().startswith("s") else "object"
