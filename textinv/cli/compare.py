"""`textinv concept compare`: versions beside each other, by their pinned pictures and their scores.

Owns the command and the picture that it writes. Pictures that lie beside the versions are shown as they are; what is
missing, or asked for in another way, is drawn here.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.console import Group

from textinv.cli.config import current_settings
from textinv.cli.generate import check_suffix, in_format, load_for
from textinv.cli.output import AsJson, emit, literal, rows_table
from textinv.cli.waiting import waiting_for
from textinv.errors import InputError
from textinv.outputs import write_output
from textinv.placeholders import ConceptRef, parse_ref

if TYPE_CHECKING:
    from PIL.Image import Image

    from textinv.models import BaseModel
    from textinv.registry import Described, PublishedVersion, Registry

_STEPS = 25
"""Inference steps of pictures where none are stored that they should be like."""
_CELL_PX, _LABEL_PX = 192, 18


class Way(NamedTuple):
    """How pictures are drawn that are to be compared; no prompts: those of the base model."""

    prompts: tuple[str, ...]
    seed: int
    steps: int | None


def register(group: typer.Typer) -> None:
    """Add the command to those about concepts."""
    group.command()(compare)


def compare(
    refs: Annotated[list[str], typer.Argument(metavar="NAME@VERSION...", help="Two versions or more.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write.")] = Path("compare.png"),
    base_model: Annotated[
        str | None, typer.Option(help="Draw all of them on this base model; default: each where it was learned.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Redraw all of them with this many steps.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Redraw all of them from this seed.")] = None,
    json: AsJson = False,
) -> None:
    """Show versions side by side: the same prompts and seed, their scores, and which scores have fallen.

    The pictures are those that were drawn when each version was learned; only missing ones are drawn now.
    """
    if len(refs) < 2:
        raise InputError("name two versions, as my-fox@2 my-fox@3")
    check_suffix(out)
    registry = _registry()
    versions = [registry.describe(parse_ref(ref)) for ref in refs]
    names = [f"{one.entry.name}@{one.entry.version}" for one in versions]
    anew = any(said is not None for said in (base_model, steps, seed))
    way = Way((), seed or 0, steps or _STEPS) if anew else _common_way(versions)
    columns = {} if anew else _stored(registry, versions, way)
    missing = [name for name in dict.fromkeys(names) if name not in columns]
    if missing:
        way = _draw_missing(registry, missing, base_model, way, columns)
    path = write_output(out, in_format(_png(_sheet(names, way.prompts, columns)), out.suffix.lower()))
    scores = [registry.evaluations(one)[-1:] for one in versions]
    rows = [_row(name, found[0] if found else {}) for name, found in zip(names, scores, strict=True)]
    falls = _falls(versions)
    facts = {"picture": str(path), "drawn": missing, **way._asdict(), "scores": rows, "falls": falls}
    emit(facts, json, Group(rows_table(rows), *map(literal, [*falls, str(path)])))


def _common_way(versions: Sequence["Described"]) -> Way:
    """How the first that has pinned pictures was drawn."""
    for one in versions:
        if (way := _way_of(one)) is not None:
            return way
    return Way((), 0, _STEPS)


def _way_of(version: "Described") -> Way | None:
    said = version.record.get("pinned")
    if not version.entry.pinned or not isinstance(said, Mapping):
        return None
    seed, steps = said.get("seed"), said.get("num_inference_steps")
    return Way(version.entry.pinned, seed, steps) if isinstance(seed, int) and isinstance(steps, int) else None


def _stored(registry: "Registry", versions: Sequence["Described"], way: Way) -> dict[str, list["Image"]]:
    """The stored pictures of versions that were drawn in one way."""
    from textinv.images.strip import cells_of
    from textinv.registry.attachments import load_pinned

    found = {}
    for one in versions:
        strip = load_pinned(registry.store, one.entry) if _way_of(one) == way else None
        if strip is not None and (cells := cells_of(strip, len(way.prompts))):
            found[f"{one.entry.name}@{one.entry.version}"] = cells
    return found


def _draw_missing(
    registry: "Registry", names: Sequence[str], base_model: str | None, way: Way, columns: dict[str, list["Image"]]
) -> Way:
    """Draw versions in one way, each on its base model; the way with its prompts."""
    versions = [registry.resolve(parse_ref(name)) for name in names]
    for base in dict.fromkeys(one.base_model for one in versions):
        here = versions if base_model else [one for one in versions if one.base_model == base]
        model = load_for(here, base_model, None, current_settings())
        way = way if way.prompts else way._replace(prompts=_prompts(model, here[0]))
        with waiting_for("drawing"):
            for one, cells in zip(here, _drawn(model, here, way), strict=True):
                columns[f"{one.name}@{one.version}"] = cells
        if base_model:
            break
    return way


def _prompts(model: "BaseModel", version: "PublishedVersion") -> tuple[str, ...]:
    from textinv.evaluation.pinned import pinned_prompts

    return pinned_prompts(model, "style" if (version.record.get("spec") or {}).get("kind") == "style" else "object")


def _drawn(model: "BaseModel", versions: Sequence["PublishedVersion"], way: Way) -> list[list["Image"]]:
    """For each version a picture of each prompt."""
    from PIL import Image

    from textinv.generation import GenerateRequest, generate_all

    refs = [ConceptRef(one.name, one.version) for one in versions]
    asked = [
        (
            GenerateRequest(
                prompt.replace("{}", ref.placeholder), num_inference_steps=way.steps, seed=way.seed, bases="kin"
            ),
            {ref: version},
        )
        for ref, version in zip(refs, versions, strict=True)
        for prompt in way.prompts
    ]
    drawn = [Image.fromarray(images[0].pixels) for images in generate_all(model, asked)]
    return [drawn[start : start + len(way.prompts)] for start in range(0, len(drawn), len(way.prompts))]


def _sheet(names: Sequence[str], prompts: Sequence[str], columns: Mapping[str, Sequence["Image"]]) -> "Image":
    """A column for each version, a row for each prompt."""
    from PIL import Image, ImageDraw

    height = _LABEL_PX + len(prompts) * (_CELL_PX + _LABEL_PX)
    sheet = Image.new("RGB", (len(names) * _CELL_PX, height), (255, 255, 255))
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(names):
        pen.text((column * _CELL_PX + 4, 3), name, fill=(30, 30, 30))
    for row, prompt in enumerate(prompts):
        top = _LABEL_PX + row * (_CELL_PX + _LABEL_PX)
        pen.text((4, top + 3), prompt, fill=(110, 110, 110))
        for column, name in enumerate(names):
            sheet.paste(columns[name][row].resize((_CELL_PX, _CELL_PX)), (column * _CELL_PX, top + _LABEL_PX))
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


def _falls(versions: Sequence["Described"]) -> list[str]:
    """What has fallen from one to the next, by the scores that were taken when each was learned."""
    from textinv.evaluation.gate import gate_of

    said = []
    for before, after in pairwise(versions):
        found = gate_of("warn", before.entry.version, before.record, after.record)
        said += [f"{after.entry.name}@{after.entry.version}: {one}" for one in found["reasons"]]
    return said


def _registry() -> "Registry":
    from textinv.registry import Registry
    from textinv.store import ensure_store

    return Registry(ensure_store(current_settings()))
