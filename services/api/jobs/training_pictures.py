"""`POST /v1/images`: a training picture into the store, and how it will be trained.

Owns reading the upload and its answer. Pictures lie where `textinv submit` puts them, under their digests, so that the
same picture is stored once. Whoever knows a digest has had the picture.
"""

import asyncio
import hashlib
import io
import re
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.datastructures import UploadFile

from services.api.callers import Caller, may_submit
from services.api.images.uploads import decode_upload
from services.api.jobs.examples import PICTURE, answered_with
from services.desk import Desk, in_thread
from services.teaching.learning import Learning
from textinv.errors import ImageError, NotReadyError, RequestError, UnknownConceptError
from textinv.images import Picture, as_trained, crop_box, decode_picture, trained_size
from textinv.plan.picture_check import PictureProblem, check_picture
from textinv.plan.picture_facts import PictureFacts
from textinv.plan.resolve import BaseFacts
from textinv.plan.sources import DIGEST, StoredPicture
from textinv.spec import Crop, image_key

router = APIRouter(tags=["training pictures"])
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
_THUMBNAIL_PX = 256
_STUDIO_S = 3.0
"""A studio that is being started is not waited for longer: the base model is then read here."""
_HEX = re.compile("[0-9a-f]{64}")

AskedCrop = Annotated[
    Crop | None, Query(description="Which part is kept, as in a manifest; none: as the base model learns.")
]
Seed = Annotated[int, Query(ge=0, lt=2**63, description="Of a random crop.")]
Side = Annotated[
    int | None,
    Query(ge=16, le=4096, multiple_of=8, description="Side that is trained at; none: the base model's native size."),
]
_FILE = {"type": "string", "format": "binary"}
_BODY = {
    "required": True,
    "content": {
        "image/*": {"schema": _FILE},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"image": _FILE}, "required": ["image"]},
        },
    },
}


@router.post("/v1/images", openapi_extra={"requestBody": _BODY}, responses=answered_with(PICTURE))
async def upload(
    request: Request,
    base_model: Annotated[str | None, Query(max_length=200, description="None: the service's.")] = None,
    resolution_px: Side = None,
    crop: AskedCrop = None,
    seed: Seed = 0,
    min_size_px: Annotated[int | None, Query(ge=1, le=16_384, description="As in a manifest.")] = None,
    other: Annotated[list[str] | None, Query(max_length=64, description="Digests to compare with.")] = None,
    caller: Caller = may_submit,
) -> dict[str, Any]:
    """Store one training picture, and say how it will be trained and what is wrong with it."""
    desk: Desk = request.app.state.desk
    others = [digest_of(one, "other") for one in other or ()]
    data = await _read(request)
    side, kept = await _trained_at(desk, base_model, resolution_px, crop)
    return await in_thread(_take, desk, data, side, kept, seed, min_size_px, others)


@router.get("/v1/images/{digest}/thumbnail", response_class=Response)
async def thumbnail(
    digest: str,
    request: Request,
    resolution_px: Side = None,
    crop: AskedCrop = None,
    seed: Seed = 0,
    size: Annotated[int, Query(ge=16, le=1024, description="Longest side of the answer.")] = _THUMBNAIL_PX,
    caller: Caller = may_submit,
) -> Response:
    """Show a picture as it will be trained (PNG): cropped, and transparent where pixels count less in the loss."""
    desk: Desk = request.app.state.desk
    digest = digest.removeprefix(DIGEST)
    if not _HEX.fullmatch(digest):
        raise UnknownConceptError(f"there is no picture {digest[:80]!r}: a digest has 64 hexadecimal digits")
    side, kept = await _trained_at(desk, None, resolution_px, crop)
    return Response(
        await in_thread(_drawn, desk, digest, side, kept, seed, size), media_type="image/png", headers=_FOREVER
    )


async def _trained_at(desk: Desk, base_model: str | None, side: int | None, crop: Crop | None) -> tuple[int, Crop]:
    """The side and the crop that are asked for, or what the base model has."""
    if side is not None and crop is not None:
        return side, crop
    facts = await base_facts_of(desk, base_model)
    return side or facts.native_px, crop or ("fit" if facts.learns_shapes else "center")


def digest_of(text: str, param: str) -> str:
    """The digest that a caller names, with or without `sha256:`.

    Raises:
        RequestError: it is none.
    """
    digest = text.removeprefix(DIGEST)
    if not _HEX.fullmatch(digest):
        raise RequestError(f"{param}: {text[:80]!r} is not a digest: write 64 hexadecimal digits", param=param)
    return digest


def thumbnail_url(digest: str, side: int, crop: str, seed: int) -> str:
    """Where a picture is shown as it is trained."""
    return f"/v1/images/{digest}/thumbnail?resolution_px={side}&crop={crop}&seed={seed}"


async def base_facts_of(desk: Desk, name: str | None) -> BaseFacts:
    """What planning needs to know of a base model (None: the service's); a studio that draws with it knows at once.

    Raises:
        RequestError: it is not learned on here.
        BaseModelError: it cannot be read.
    """
    name, studio = name or desk.config.base_model, None
    if name == desk.config.base_model:
        with suppress(NotReadyError, TimeoutError):
            async with asyncio.timeout(_STUDIO_S):
                studio = await desk.facts()
    return await in_thread(desk.learning.base, name, studio)


async def _read(request: Request) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        return await request.body()
    form = await request.form(max_files=2, max_fields=10)
    files = [value for value in form.values() if isinstance(value, UploadFile)]
    if len(files) != 1:
        raise RequestError(f"{len(files)} files were sent: send one picture, in the field image", param="image")
    return await files[0].read()


def _take(
    desk: Desk,
    data: bytes,
    side: int,
    crop: Crop,
    seed: int,
    min_size_px: int | None,
    others: list[str],
) -> dict[str, Any]:
    learning = desk.learning
    if not data:
        raise ImageError("image: the body is empty: send the picture's file", param="image")
    picture = decode_upload(data, "image", desk.config.max_upload_px, to_learn=True)
    known = {one: _facts(learning, one) for one in dict.fromkeys(others)}
    facts = learning.facts.learn(f"{DIGEST}{picture.digest}", picture)
    created = not learning.store.exists(image_key(picture.digest))
    if created:
        learning.store.put(image_key(picture.digest), data)
    problems = list(check_picture(facts, side, min_size_px, known, crop))
    return {
        "object": "image",
        "id": f"{DIGEST}{picture.digest}",
        "digest": picture.digest,
        "created": created,
        "width": picture.width_px,
        "height": picture.height_px,
        "bytes": len(data),
        "transparent": picture.alpha is not None,
        "training": _training(picture, side, crop, seed),
        "usable": not any(problem.is_refused for problem in problems),
        "problems": [_problem(problem) for problem in problems],
        "thumbnail": thumbnail_url(picture.digest, side, crop, seed),
    }


def _facts(learning: Learning, digest: str) -> PictureFacts:
    try:
        return learning.facts.facts(StoredPicture(learning.store, digest))
    except ImageError as error:
        raise ImageError(error.message, param="other") from error


def _training(picture: Picture, side: int, crop: Crop, seed: int) -> dict[str, Any]:
    width, height = trained_size((picture.width_px, picture.height_px), side, crop)
    left, top, right, bottom = crop_box(picture, width / height, crop, seed=seed)
    return {
        "resolution_px": side,
        "crop": crop,
        "box": {"left": left, "top": top, "right": right, "bottom": bottom},
        "width": width,
        "height": height,
        "scale": round(width / (right - left), 4),
        "turned": picture.turned,
    }


def _problem(problem: PictureProblem) -> dict[str, Any]:
    severity = "error" if problem.is_refused else "warning"
    return {"code": problem.kind, "severity": severity, "message": problem.message, "other": problem.other}


def _drawn(desk: Desk, digest: str, side: int, crop: Crop, seed: int, size: int) -> bytes:
    try:
        data = StoredPicture(desk.store, digest).read()
    except ImageError as error:
        raise UnknownConceptError(error.message, picture=digest) from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise UnknownConceptError(f"the stored bytes of picture {digest[:12]} were changed: upload it again")
    image = as_trained(decode_picture(data, digest[:12]), side, crop, seed=seed)
    image.thumbnail((size, size))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
