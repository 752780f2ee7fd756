"""Downloads of a concept: its embedding in the format of any program, and the pictures that its training left."""

import io
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.api.access import Caller, may_draw
from services.api.concepts import check_name
from services.desk import Desk, in_thread
from textinv.embedding.formats import ExportFormat, export_embedding
from textinv.placeholders import ConceptRef
from textinv.registry import PublishedVersion

router = APIRouter(tags=["concepts"])
_BINARY = "application/octet-stream"
_MAX_VERSION = 10**8 - 1

Version = Annotated[int | None, Query(ge=1, le=_MAX_VERSION, description="None: the current one.")]


@router.get("/v1/concepts/{name}/embedding", response_class=Response)
async def download(
    name: str,
    request: Request,
    version: Version = None,
    format: Annotated[ExportFormat, Query(description="`auto` is one safetensors for nearly all programs.")] = "auto",
    caller: Caller = may_draw,
) -> Response:
    """Download an embedding for another program; several files come as one zip."""
    desk: Desk = request.app.state.desk
    check_name(name, caller)
    published = await in_thread(desk.registry.resolve, ConceptRef(name, version))
    file, body = await in_thread(_exported, published, format)
    headers = {
        "content-disposition": f'attachment; filename="{file}"',
        "x-textinv-concepts": f"{name}@{published.version}={published.digest[:12]}",
    }
    return Response(body, media_type="application/zip" if file.endswith(".zip") else _BINARY, headers=headers)


def _exported(published: PublishedVersion, format: str) -> tuple[str, bytes]:
    metadata = {
        "base_model": published.base_model,
        "base_revision": published.base_revision,
        "version": str(published.version),
        "digest": published.digest,
    }
    with TemporaryDirectory() as folder:
        paths = export_embedding(published.embedding, published.name, format, Path(folder), metadata)
        if len(paths) == 1:
            return paths[0].name, paths[0].read_bytes()
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for path in paths:
                archive.write(path, path.relative_to(folder))
        return f"{published.name}.zip", buffer.getvalue()
