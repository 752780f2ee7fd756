"""`textinv evaluate`: how much a learned concept is the thing, and how well prompts still work with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.current import current_settings
from textinv.cli.generate import load_for
from textinv.cli.output import AsJson, emit, rows_table, stderr
from textinv.errors import InputError, ObjectNotFoundError

if TYPE_CHECKING:
    from textinv.images import Picture
    from textinv.registry import PublishedVersion
    from textinv.store import ObjectStore


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    ref: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A concept.")],
    pictures: Annotated[
        str | None, typer.Option(help="Held-out pictures: a folder or glob; default: those it was learned from.")
    ] = None,
    class_word: Annotated[str | None, typer.Option(help="What kind of thing it is; default: its record's.")] = None,
    encoder: Annotated[
        list[Path] | None, typer.Option(help="A CLIP or DINO folder to judge with; can be given again.")
    ] = None,
    num_images: Annotated[int, typer.Option(min=1, help="Pictures to draw of it.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Inference steps of each; scores depend on it.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures drawn.")] = 0,
    json: AsJson = False,
) -> None:
    """Score a concept: fidelity, editability, norm and direction of its rows, beside what is possible at best."""
    from textinv.evaluation import Drawing, Judged, load_encoder
    from textinv.evaluation import evaluate as judge
    from textinv.placeholders import parse_ref
    from textinv.registry import Registry
    from textinv.store import ensure_store

    settings = current_settings()
    store = ensure_store(settings)
    version = Registry(store).resolve(parse_ref(ref))
    spec = version.record.get("spec", {})
    word = class_word or spec.get("class_word") or spec.get("init")
    if not word or word == "auto" or word.startswith("<"):
        raise InputError(f"the record of {version.name} does not say what kind of thing it is: give --class-word")
    real = _given(pictures) if pictures else _learned_from(version, store)
    model = load_for([version], None, None, settings)
    judged = Judged(version.embedding, spec.get("kind", "object"), word)
    with stderr().status("drawing and judging"):
        encoders = [load_encoder(folder) for folder in encoder or ()]
        scores = judge(model, judged, real, encoders=encoders, drawing=Drawing(num_images, steps, seed=seed))
    emit({"name": version.name, "version": version.version, **scores}, json, _table(scores))


def _given(text: str) -> list["Picture"]:
    from textinv.images import decode_picture
    from textinv.plan.shelf import Shelf

    sources, _ = Shelf(Path()).pictures(text)
    return [decode_picture(source.read(), source.name) for source in sources]


def _learned_from(version: "PublishedVersion", store: "ObjectStore") -> Sequence["Picture"]:
    """The training pictures, which lie in the store until they are purged."""
    from textinv.plan.fetch import fetch_pictures
    from textinv.plan.sources import image_key
    from textinv.plan.spec import TrainSpec

    if "spec" not in version.record:
        raise InputError(f"{version.name} was not learned here, so its pictures are unknown: give --pictures")
    spec = TrainSpec.model_validate(version.record["spec"])
    try:
        return fetch_pictures(spec, lambda digest: store.get(image_key(digest)).body)
    except ObjectNotFoundError as error:
        raise InputError(f"pictures of {version.name} were deleted: give others with --pictures") from error


def _table(scores: dict[str, Any]) -> Any:
    rows = [
        {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in one.items()}
        for one in scores["encoders"]
    ]
    return rows_table(rows)
