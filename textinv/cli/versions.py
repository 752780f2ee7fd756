"""`textinv concept promote` and `compare`: which version is current, and how versions look beside each other.

Owns the commands and the sheet of pictures. Whether a version is held back was decided when it was published.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from textinv.cli.config import current_settings
from textinv.cli.generate import check_suffix, in_format, load_for
from textinv.cli.output import AsJson, emit, literal, rows_table
from textinv.cli.waiting import waiting_for
from textinv.errors import InputError
from textinv.outputs import write_output
from textinv.placeholders import parse_ref

if TYPE_CHECKING:
    from PIL.Image import Image

    from textinv.models import BaseModel
    from textinv.registry import PublishedVersion, Registry
    from textinv.spec import Kind

NUM_EDITS = 3
"""Prompts beside the plain one: the first of those that scores are taken with."""
_CELL_PX, _LABEL_PX = 192, 18


def register(group: typer.Typer) -> None:
    """Add the commands to those about concepts."""
    group.command()(promote)
    group.command()(compare)


def promote(
    ref: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A version; default: the newest.")],
    json: AsJson = False,
) -> None:
    """Make a version current that was held back, because its scores had fallen."""
    registry, wanted = _registry(), parse_ref(ref)
    version = wanted.version or max(one.version for one in registry.versions(wanted.name))
    found, note = registry.roll_back(wanted.name, version)
    facts = {"name": found.name, "version": found.version, "changed": note is None, "note": note}
    emit(facts, json, note or f"{found.name} is now {found.name}@{found.version}")


def compare(
    refs: Annotated[list[str], typer.Argument(metavar="NAME@VERSION...", help="Versions, two or more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write.")] = Path("compare.png"),
    base_model: Annotated[str | None, typer.Option(help="Default: the one the first was learned on.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Inference steps of each picture.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="The same for all.")] = 0,
    json: AsJson = False,
) -> None:
    """Show versions side by side: the same prompts and seeds, their scores, and whether these have fallen."""
    if len(refs) < 2:
        raise InputError("name two versions, as my-fox@2 my-fox@3")
    check_suffix(out)
    registry = _registry()
    versions = [registry.resolve(parse_ref(ref)) for ref in refs]
    model = load_for(versions, base_model, None, current_settings())
    with waiting_for("drawing"):
        prompts, pictures = _drawn(model, versions, steps, seed)
    names = [f"{one.name}@{one.version}" for one in versions]
    path = write_output(out, in_format(_png(_sheet(names, prompts, pictures)), out.suffix.lower()))
    scores = [registry.evaluations(one)[-1:] for one in versions]
    rows = [_row(name, found[0] if found else {}) for name, found in zip(names, scores, strict=True)]
    falls = _falls(versions)
    facts = {"picture": str(path), "prompts": list(prompts), "seed": seed, "scores": rows, "falls": falls}
    emit(facts, json, Group(rows_table(rows), *map(literal, [*falls, str(path)])))


def _drawn(
    model: "BaseModel", versions: Sequence["PublishedVersion"], steps: int, seed: int
) -> tuple[list[str], list[list["Image"]]]:
    """The prompts, and for each of them a picture of each version."""
    from PIL import Image

    from textinv.evaluation.prompts import prompts_of
    from textinv.generation import GenerateRequest, generate_all
    from textinv.placeholders import ConceptRef

    of_base = prompts_of(model.folder)
    kind: Kind = "style" if (versions[0].record.get("spec") or {}).get("kind") == "style" else "object"
    prompts = [of_base.fidelity[kind], *of_base.editability[kind][:NUM_EDITS]]
    refs = [ConceptRef(one.name, one.version) for one in versions]
    asked = [
        (
            GenerateRequest(prompt.replace("{}", ref.placeholder), num_inference_steps=steps, seed=seed, bases="kin"),
            {ref: version},
        )
        for prompt in prompts
        for ref, version in zip(refs, versions, strict=True)
    ]
    drawn = [Image.fromarray(images[0].pixels) for images in generate_all(model, asked)]
    return prompts, [drawn[start : start + len(refs)] for start in range(0, len(drawn), len(refs))]


def _sheet(names: Sequence[str], prompts: Sequence[str], pictures: Sequence[Sequence["Image"]]) -> "Image":
    """A column for each version, a row for each prompt."""
    from PIL import Image, ImageDraw

    height = _LABEL_PX + len(prompts) * (_CELL_PX + _LABEL_PX)
    sheet = Image.new("RGB", (len(names) * _CELL_PX, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * _CELL_PX + 4, 3), name, fill=(30, 30, 30))
    for row, (prompt, cells) in enumerate(zip(prompts, pictures, strict=True)):
        top = _LABEL_PX + row * (_CELL_PX + _LABEL_PX)
        pen.text((4, top + 3), prompt, fill=(110, 110, 110))
        for column, cell in enumerate(cells):
            sheet.paste(cell.resize((_CELL_PX, _CELL_PX)), (column * _CELL_PX, top + _LABEL_PX))
    return sheet


def _png(sheet: "Image") -> bytes:
    from io import BytesIO

    file = BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _row(name: str, scores: Any) -> dict[str, Any]:
    first = (scores.get("encoders") or [{}])[0]
    said = {"likeness": "fidelity", "editability": "editability"}
    return {
        "version": name,
        **{word: f"{first[field]:.2f}" if field in first else None for word, field in said.items()},
    }


def _falls(versions: Sequence["PublishedVersion"]) -> list[str]:
    """What has fallen from one to the next, by the scores that were taken when each was learned."""
    from textinv.evaluation.gate import falls

    said = []
    for before, after in pairwise(versions):
        found = falls(before.record.get("evaluation") or {}, after.record.get("evaluation") or {})
        said += [f"{after.name}@{after.version}: {one}" for one in found]
    return said


def _registry() -> "Registry":
    from textinv.registry import Registry
    from textinv.store import ensure_store

    return Registry(ensure_store(current_settings()))
