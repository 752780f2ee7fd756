"""`POST /v1/images/edits`: drawing over a picture, or over the part of it that a mask leaves open."""

import hashlib
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.api.callers import Caller, may_draw
from services.api.images.edit_requests import EditRequest, EditsBody, JsonEditsBody, read_edit
from services.api.images.generations import answer, request_of, settle_model
from services.api.images.sizes import ChosenSize, Size, choose_size, fit_to_base, parse_size
from services.api.images.uploads import decode_upload, resized, transparent_mask
from services.desk import Desk, computing
from services.drawing.studio import StudioFacts
from textinv.errors import ImageError
from textinv.generation.request import GenerateRequest

router = APIRouter(tags=["images"])


def _body_schema() -> dict[str, Any]:
    file = {"type": "string", "format": "binary"}
    form = EditsBody.model_json_schema()
    form["properties"] |= {"image": file, "mask": file}
    form["required"] = ["prompt", "image"]
    as_json = JsonEditsBody.model_json_schema(ref_template="#/components/schemas/{model}")
    as_json["properties"]["images"]["items"] = as_json.pop("$defs")["PictureByUrl"]
    as_json["properties"]["mask"] = as_json["properties"]["images"]["items"]
    return {"multipart/form-data": {"schema": form}, "application/json": {"schema": as_json}}


@router.post("/v1/images/edits", openapi_extra={"requestBody": {"required": True, "content": _body_schema()}})
async def edit(request: Request, caller: Caller = may_draw) -> Response:
    """Draw over a picture; what is transparent in the mask (or in the picture) may change, without a mask all of it."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    sent = await read_edit(request)
    sent = replace(sent, body=settle_model(sent.body, desk, facts))
    size, wanted = await computing(_wanted_of, sent, facts, caller, desk)
    files = "".join(hashlib.sha256(file or b"").hexdigest() for file in (sent.picture, sent.mask))
    return await answer(desk, request, caller, sent.body, size, wanted, files)


def _wanted_of(sent: EditRequest, facts: StudioFacts, caller: Caller, desk: Desk) -> tuple[ChosenSize, GenerateRequest]:
    picture = decode_upload(sent.picture, "image", desk.config.max_upload_px)
    natural = Size(picture.width_px, picture.height_px)
    if sent.body.size == "auto":
        size = fit_to_base(natural, facts, desk.config.resize)
    else:
        size = choose_size(parse_size(sent.body.size, facts), facts, desk.config.resize)
    alpha = picture.alpha
    if sent.mask is not None:
        alpha = decode_upload(sent.mask, "mask", desk.config.max_upload_px).alpha
        if alpha is None:
            raise ImageError(
                "mask has no transparent part, so nothing may change; make it transparent there", param="mask"
            )
    wanted = replace(
        request_of(sent.body, size, caller, desk, facts),
        init_image=resized(picture.pixels, size.drawn),
        mask=None if alpha is None else transparent_mask(alpha, size.drawn),
        strength=sent.body.strength,
    )
    return size, wanted
