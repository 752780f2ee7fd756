"""Downloads of a concept: its embedding in the format of any program, and the pictures that its training left."""

import io
import zipfile
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.api.callers import Caller, may_draw
from services.api.concepts.concepts import Version, check_name
from services.api.images.drawing import concepts_header
from services.desk import Desk, in_thread
from textinv.embedding import Embedding
from textinv.embedding.formats import ExportFormat, export_embedding, readers_of_clips
from textinv.errors import CorruptObjectError, ImageError, ObjectNotFoundError
from textinv.images import as_trained, decode_picture
from textinv.images.decode import shown_type
from textinv.jobs.previews import MEDIA_TYPE, preview_steps, read_preview
from textinv.models import file_keys_of, readers_of
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion
from textinv.registry.attachments import load_pinned
from textinv.spec import image_key

router = APIRouter(tags=["concepts"])
_BINARY = "application/octet-stream"
_THUMBNAIL_PX = 256


@router.get("/v1/concepts/{name}/embedding", response_class=Response)
async def download(
    name: str,
    request: Request,
    version: Version = None,
    format: Annotated[ExportFormat, Query(description="`auto` is one safetensors for nearly all programs.")] = "auto",
    caller: Caller = may_draw,
) -> Response:
    """Download an embedding for another program; several files come as one zip.

    `x-textinv-readers` says which programs read it, and which ignore it.
    """
    desk: Desk = request.app.state.desk
    check_name(name, caller)
    published = await in_thread(desk.registry.resolve, ConceptRef(name, version))
    file, body = await in_thread(_exported, published, format)
    headers = {"content-disposition": f'attachment; filename="{file}"'}
    headers["x-textinv-readers"] = _readers_of(published.embedding, format)
    headers |= concepts_header({f"{name}@{published.version}": published.digest})
    return Response(body, media_type="application/zip" if file.endswith(".zip") else _BINARY, headers=headers)


@router.get("/v1/concepts/{name}/thumbnail", response_class=Response)
async def thumbnail(name: str, request: Request, version: Version = None, caller: Caller = may_draw) -> Response:
    """Show what a concept looks like: as it was last drawn while it learned, else its first training picture.

    Training pictures are shown to keys with the role `submit` only: others get what was drawn, or a 404.
    """
    desk: Desk = request.app.state.desk
    check_name(name, caller)
    picture = await in_thread(_drawn, desk, name, version)
    if picture is None and caller.has_role("submit"):
        picture = await in_thread(_first_training_picture, desk, ConceptRef(name, version))
    if picture is None:
        raise ObjectNotFoundError(
            f"there is no picture of {name}: none was drawn while it learned, it was imported, or they were deleted"
        )
    kept = {"cache-control": "private, max-age=3600"} if version else {"cache-control": "no-cache"}
    return Response(picture[0], media_type=picture[1], headers=kept | {"vary": "authorization"})


@router.get("/v1/concepts/{name}/pinned", response_class=Response)
async def pinned(name: str, request: Request, version: Version = None, caller: Caller = may_draw) -> Response:
    """Show a version's pinned pictures, in a row: the same prompts and seed for every version, to compare them by eye.

    `pinned` in the list of versions has the prompts, from left to right; a version without scores has no such pictures.
    """
    desk: Desk = request.app.state.desk
    check_name(name, caller)
    strip = await in_thread(_strip, desk, name, version)
    kind = shown_type(strip)
    if kind is None:
        raise ObjectNotFoundError(f"the stored pinned pictures of {name} are not a picture")
    kept = {"cache-control": "private, max-age=3600"} if version else {"cache-control": "no-cache"}
    return Response(strip, media_type=kind, headers=kept | {"vary": "authorization"})


def _strip(desk: Desk, name: str, version: int | None) -> bytes:
    entry = desk.registry.current_entry(name) if version is None else desk.registry.entry(name, version)
    strip = load_pinned(desk.store, entry)
    if strip is None:
        raise ObjectNotFoundError(
            f"{name}@{entry.version} has no pinned pictures: it was not scored when it was learned, or they were "
            "deleted; `textinv concept compare` draws them"
        )
    return strip


def _drawn(desk: Desk, name: str, version: int | None) -> tuple[bytes, str] | None:
    """A concept as it was drawn last: beside its version, else (when that drawing failed) on the way there."""
    with suppress(CorruptObjectError):
        if (picture := desk.registry.picture(name, version)) is not None:
            return picture
    entry = desk.registry.current_entry(name) if version is None else desk.registry.entry(name, version)
    for step in reversed(preview_steps(desk.store, entry.fingerprint)):
        if (preview := read_preview(desk.store, entry.fingerprint, step)) is not None:
            return preview, MEDIA_TYPE
    return None


def _first_training_picture(desk: Desk, ref: ConceptRef) -> tuple[bytes, str] | None:
    record = desk.registry.resolve(ref).record
    try:
        digest = str(record["spec"]["pictures"][0]["digest"])
        picture = decode_picture(desk.store.get(image_key(digest)).body, digest)
    except (LookupError, TypeError):
        return None  # a record may come from anywhere
    except (ObjectNotFoundError, ImageError):
        return None
    buffer = io.BytesIO()
    as_trained(picture, _THUMBNAIL_PX).save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


def _readers_of(embedding: Embedding, format: str) -> str:
    return readers_of(embedding.rows, format) or readers_of_clips(embedding, format)


def _exported(published: PublishedVersion, format: str) -> tuple[str, bytes]:
    metadata = {
        "base_model": published.base_model,
        "base_revision": published.base_revision,
        "version": str(published.version),
        "digest": published.digest,
    }
    with TemporaryDirectory() as folder:
        paths = export_embedding(
            published.embedding, published.name, format, Path(folder), metadata, file_keys_of(published.embedding.rows)
        )
        if len(paths) == 1:
            return paths[0].name, paths[0].read_bytes()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in paths:
                archive.write(path, path.relative_to(folder))
        return f"{published.name}.zip", buffer.getvalue()
