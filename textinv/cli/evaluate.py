"""`textinv evaluate`: how much a learned concept is the thing, and how well prompts still work with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group

from textinv.cli.config import current_settings
from textinv.cli.generate import load_for
from textinv.cli.output import AsJson, emit, rows_table
from textinv.cli.waiting import waiting_for
from textinv.errors import InputError, ObjectNotFoundError

if TYPE_CHECKING:
    from textinv.evaluation import Learned
    from textinv.images import Picture
    from textinv.registry import PublishedVersion
    from textinv.spec import TrainSpec
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
        list[Path] | None,
        typer.Option(help="A CLIP or DINO folder to score with; can be given again. Default: those of the settings."),
    ] = None,
    base_model: Annotated[
        str | None, typer.Option(help="Draw on this base model of the same family; default: where it was learned.")
    ] = None,
    num_images: Annotated[int, typer.Option(min=1, help="Pictures to draw of it.")] = 4,
    steps: Annotated[int, typer.Option(min=1, help="Inference steps of each; scores depend on it.")] = 25,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the pictures.")] = 0,
    json: AsJson = False,
) -> None:
    """Score a concept: likeness, editability, length and direction of its rows, each beside a reference.

    The scores are also kept beside the version; `textinv concept show` has them.
    """
    from textinv.evaluation import Drawing, load_encoder
    from textinv.evaluation import evaluate as score
    from textinv.evaluation.travel import travelled
    from textinv.generation.prompts import check_mounts
    from textinv.models.placement import choose_placement
    from textinv.placeholders import parse_ref
    from textinv.registry import Registry
    from textinv.store import ensure_store

    settings = current_settings()
    store = ensure_store(settings)
    registry = Registry(store)
    version = registry.resolve(parse_ref(ref))
    real = _given(pictures) if pictures else _learned_from(version, store)
    device = choose_placement(settings.device, "auto").device
    encoders = [load_encoder(folder, device) for folder in encoder or settings.encoders]
    model = load_for([version], base_model, None, settings)
    wanted = parse_ref(ref)
    check_mounts(model, [wanted], {wanted: version}, "kin")
    with waiting_for("drawing and judging"):
        drawing = Drawing(num_images, steps, seed=seed)
        scores = score(model, _learned(version, class_word), real, encoders=encoders, drawing=drawing)
    if "cosine_to_initializer" in version.record:
        scores["cosine_to_initializer"] = version.record["cosine_to_initializer"]
    pictures_used = {"pictures": pictures or "training", "num_pictures": len(real)}
    if version.base_revision != model.revision:
        scores |= travelled(scores, registry.evaluations(version), version, model)
    registry.add_evaluation(version, scores | pictures_used)
    emit({"name": version.name, "version": version.version, **scores}, json, _table(scores))


def _learned(version: "PublishedVersion", class_word: str | None) -> "Learned":
    """The concept with what its record says of it; a concept that came from elsewhere has no spec."""
    from textinv.evaluation import Learned
    from textinv.evaluation.scorer import learned_of

    spec = _spec_of(version)
    if spec is None:
        return Learned(version.embedding, "object", class_word)
    return learned_of(spec, version.embedding, version.record.get("started_from"), class_word)


def _spec_of(version: "PublishedVersion") -> "TrainSpec | None":
    from pydantic import ValidationError

    from textinv.spec import TrainSpec

    stated = version.record.get("spec")
    try:
        return TrainSpec.model_validate(stated) if stated is not None else None
    except ValidationError:
        return None  # the record was written by another release


def _given(text: str) -> list["Picture"]:
    from textinv.images import decode_picture
    from textinv.plan.shelf import Shelf

    sources, _ = Shelf(Path()).pictures(text)
    return [decode_picture(source.read(), source.name) for source in sources]


def _learned_from(version: "PublishedVersion", store: "ObjectStore") -> Sequence["Picture"]:
    """The training pictures, which lie in the store until they are purged."""
    from textinv.plan.sources import fetch_pictures
    from textinv.spec import image_key

    spec = _spec_of(version)
    if spec is None:
        raise InputError(
            f"{version.name} was learned elsewhere or by another release, so its pictures are unknown: give --pictures"
        )
    try:
        return fetch_pictures(spec, lambda digest: store.get(image_key(digest)).body)
    except ObjectNotFoundError as error:
        raise InputError(f"pictures of {version.name} were deleted: give others with --pictures") from error


def _told_of_travel(scores: dict[str, Any]) -> list[str]:
    """How a concept does on another base model than its own."""
    if "drawn_on" not in scores:
        return []
    shares = scores["share_of_home"]
    kept = "; ".join(
        f"{encoder} keeps {', '.join(f'{share:.0%} of {name}' for name, share in of_one.items())}"
        for encoder, of_one in shares.items()
    )
    return [f"learned on {scores['learned_on']}, drawn on {scores['drawn_on']}: {kept or 'not scored at home yet'}"]


def _table(scores: dict[str, Any]) -> Any:
    opinions = [*scores.get("encoders", ()), *([{"encoder": "judge", **scores["judge"]}] if "judge" in scores else [])]
    columns = ("encoder", "fidelity", "real_to_real", "initializer_fidelity", "editability")
    shown = [{name: one[name] for name in columns if name in one} for one in opinions]
    rows = [
        {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in one.items()} for one in shown
    ]
    facts = {"norm_ratio": "norm over that of a word", "cosine_to_initializer": "cosine to where it started"}
    lines = [
        f"{label} ({encoder}): {value:.3f}"
        for name, label in facts.items()
        for encoder, value in scores.get(name, {}).items()
    ]
    return Group(rows_table(rows), *lines, *_told_of_travel(scores))
