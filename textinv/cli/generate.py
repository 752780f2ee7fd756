"""`textinv generate`: draw a prompt on this machine, with any stored concept in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from textinv.cli.config import current_settings
from textinv.cli.output import AsJson, emit, warn
from textinv.cli.waiting import waiting_for
from textinv.errors import InputError
from textinv.outputs import write_output

if TYPE_CHECKING:
    from textinv.generation import GeneratedImage, GenerateRequest, StoredConcept
    from textinv.models import BaseModel
    from textinv.placeholders import ConceptRef
    from textinv.settings import Settings

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
"""Of pictures that are written, by suffix."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    prompt: Annotated[str, typer.Argument(help="What to draw, with concepts as <name>, <name@3>, <name:0.7>, <a+b>.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Picture to write; several are numbered.")] = Path("out.png"),
    negative_prompt: Annotated[str, typer.Option("--negative", help="What not to draw.")] = "",
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same picture.")] = 0,
    num_images: Annotated[int, typer.Option("--num", "-n", min=1, help="Pictures, each with the next seed.")] = 1,
    steps: Annotated[int | None, typer.Option(help="Inference steps.")] = None,
    guidance_scale: Annotated[float | None, typer.Option("--guidance", help="Closeness to the prompt.")] = None,
    guidance_rescale: Annotated[
        float | None, typer.Option(help="How much of the contrast that guidance adds to take back, 0 to 1.")
    ] = None,
    width: Annotated[int | None, typer.Option(help="Pixels; default: the base model's own size.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    noise_scheduler: Annotated[str | None, typer.Option(help="dpmpp-2m, euler, ddim, ...")] = None,
    init_image: Annotated[Path | None, typer.Option(help="Picture to change.", exists=True, dir_okay=False)] = None,
    mask: Annotated[Path | None, typer.Option(help="White: what may change.", exists=True, dir_okay=False)] = None,
    strength: Annotated[float | None, typer.Option(help="How much of the picture may change, 0 to 1.")] = None,
    clip_skip: Annotated[int | None, typer.Option(min=1, help="Text layer: 1 is the last, 2 the one before.")] = None,
    instruction: Annotated[bool, typer.Option("--instruction", help="Prepend the base model's instruction.")] = False,
    original_size: Annotated[str | None, typer.Option(help="SDXL: WIDTHxHEIGHT of the picture before scaling.")] = None,
    crop_top_left: Annotated[str | None, typer.Option(help="SDXL: TOP,LEFT pixels that were cut off.")] = None,
    target_size: Annotated[str | None, typer.Option(help="SDXL: WIDTHxHEIGHT that the picture was scaled for.")] = None,
    base_model: Annotated[str | None, typer.Option(help="Default: the one the concepts were learned on.")] = None,
    bases: Annotated[
        str | None,
        typer.Option(
            help="kin: also concepts of other bases of the same family; exact: only this base's; default: these and "
            "imports of unknown base."
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Draw a prompt and write PNGs that remember how they were made."""
    from textinv.generation import GenerateRequest
    from textinv.generation.told_sizes import read_sizes

    chosen = {
        "num_inference_steps": steps,
        "guidance_scale": guidance_scale,
        "guidance_rescale": guidance_rescale,
        "width_px": width,
        "height_px": height,
        "noise_scheduler": noise_scheduler,
        "strength": strength,
        "clip_skip": clip_skip,
        "instruction": instruction,
        "sizes": read_sizes(original_size, crop_top_left, target_size),
        "bases": _bases(bases),
        **_pictures(init_image, mask),
    }
    said: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    request = GenerateRequest(prompt, negative_prompt, seed=seed, num_images=num_images, **said)
    request.check()
    check_suffix(out)
    images = draw_here(request, base_model, current_settings())
    for note in images[0].notes:
        warn(note)
    paths = _write(images, out)
    told = [_told(path, image) for path, image in zip(paths, images, strict=True)]
    emit(told, json, "\n".join(str(path) for path in paths))


def _bases(said: str | None) -> str | None:
    if said not in (None, "exact", "kin"):
        raise InputError(f"--bases {said!r} is neither exact nor kin")
    return said


def load_for(
    versions: Sequence["StoredConcept"], base_model: str | None, revision: str | None, settings: "Settings"
) -> "BaseModel":
    """Load the base model that was named, else the one that concepts were learned on.

    Raises:
        InputError: there is nothing to go by.
    """
    from textinv.models import load_base_model

    name = base_model or next((version.base_model for version in versions if version.base_model), None)
    if name is None:
        raise InputError("the prompt names no concept, so say which base model draws it: --base-model emoji")
    with waiting_for(f"loading {name}"):
        return load_base_model(name, revision=revision, device=settings.device, aliases=settings.base_models)


def draw_here(request: "GenerateRequest", base_model: str | None, settings: "Settings") -> list["GeneratedImage"]:
    """Draw on this machine, with the concepts of the store."""
    with waiting_for("looking up what to draw"):
        from textinv.generation import generate as draw

        mounts = _mounts(request.refs, base_model, settings)
    model = load_for(list(mounts.values()), base_model, None, settings)
    with waiting_for("drawing"):
        return draw(model, request, mounts)


def _mounts(
    refs: Sequence["ConceptRef"], base_model: str | None, settings: "Settings"
) -> Mapping["ConceptRef", "StoredConcept"]:
    if not refs:
        return {}
    from textinv.generation import EmbeddingCache
    from textinv.registry import Registry
    from textinv.store import ensure_store

    registry = Registry(ensure_store(settings))
    if base_model is not None:
        from textinv.models import base_revision

        registry.base_revision = base_revision(base_model, aliases=settings.base_models)
    cache = EmbeddingCache(registry)
    try:
        return cache.resolve(refs)
    finally:
        cache.close()


def _pictures(init_image: Path | None, mask: Path | None) -> dict[str, Any]:
    from textinv.images import decode_picture

    decoded = {
        name: decode_picture(path.read_bytes(), str(path), to_learn=False).pixels
        for name, path in (("init_image", init_image), ("mask", mask))
        if path is not None
    }
    if "mask" in decoded:
        decoded["mask"] = decoded["mask"].max(-1)
    return decoded


def _write(images: Sequence["GeneratedImage"], out: Path) -> list[Path]:
    paths = [out] if len(images) == 1 else [out.with_stem(f"{out.stem}-{number}") for number in range(len(images))]
    return [
        write_output(path, in_format(image.png(), path.suffix.lower()))
        for path, image in zip(paths, images, strict=True)
    ]


def check_suffix(out: Path) -> None:
    if out.suffix.lower() not in _FORMATS:
        raise InputError(f"-o {out} does not tell the format: choose a name that ends in {', '.join(_FORMATS)}")


def in_format(png: bytes, suffix: str) -> bytes:
    """A PNG in the format of a suffix; what it says of how it was drawn goes along as the EXIF comment."""
    if suffix == ".png":
        return png
    from io import BytesIO

    from PIL import ExifTags, Image

    with Image.open(BytesIO(png)) as image:
        exif = Image.Exif()
        comment = b"UNICODE\x00" + str(image.info.get("parameters", "")).encode("utf-16-be")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
        file = BytesIO()
        image.convert("RGB").save(file, _FORMATS[suffix], quality=95, exif=exif)
    return file.getvalue()


def _told(path: Path, image: "GeneratedImage") -> dict[str, Any]:
    return {
        "path": str(path),
        "seed": image.seed,
        "concepts": dict(image.concepts),
        "base_model": image.base_model,
        "learned_on": dict(image.learned_on),
        "infotext": image.infotext,
    }
