"""The body of `POST /v1/images/edits`, as a form with files or as JSON with data URLs.

Owns both spellings of one request. Source: openai/openai-openapi, openapi.yaml, v2.3.0, CreateImageEditRequest.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request
from pydantic import ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from services.api.bodies import Body
from services.api.errors import refusal
from services.api.images.image_requests import DrawFields
from services.api.images.uploads import decode_text
from textinv.errors import RequestError

_FILE_FIELDS = ("image", "image[]", "mask")
_LIST_FIELDS = ("concepts",)


class PictureByUrl(Body):
    """A picture in a JSON body."""

    model_config = ConfigDict(extra="forbid")

    image_url: str | None = None
    """A data URL; others are not fetched."""
    file_id: str | None = None
    """Not served: there is no file store here."""


class EditsBody(DrawFields):
    """What `POST /v1/images/edits` takes beside the pictures."""

    strength: float = Field(default=0.75, ge=0, le=1, allow_inf_nan=False)
    """How much of the picture may change."""
    input_fidelity: Literal["low"] = "low"
    """Accepted at its default; lower `strength` keeps more of the picture."""


class JsonEditsBody(EditsBody):
    """The JSON body."""

    images: list[PictureByUrl] = Field(min_length=1, max_length=16)
    """The picture to edit; one."""
    mask: PictureByUrl | None = None
    """What is transparent in it may change."""


@dataclass(frozen=True)
class EditRequest:
    """An edit as it was sent: fields, and the files' bytes."""

    body: EditsBody
    picture: bytes
    mask: bytes | None


async def read_edit(request: Request) -> EditRequest:
    """Read an edit from a form or from JSON.

    Raises:
        RequestError: it is neither, or a field cannot be used.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return await _from_form(await request.form(max_files=20, max_fields=100))
        if kind == "application/json":
            return _from_json(await _json_of(request))
    except ValidationError as error:
        raise refusal(list(error.errors(include_url=False))) from error
    raise RequestError(f"the content type is {kind[:80]!r}; send multipart/form-data or application/json")


async def _json_of(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {str(error)[:200]}") from error


def _from_json(sent: Any) -> EditRequest:
    body = JsonEditsBody.model_validate(sent)
    fields = EditsBody.model_validate(body.model_dump(exclude={"images", "mask"}))
    if len(body.images) > 1:
        raise _too_many(len(body.images))
    mask = None if body.mask is None else _bytes_of(body.mask, "mask")
    return EditRequest(fields, _bytes_of(body.images[0], "images"), mask)


def _bytes_of(picture: PictureByUrl, param: str) -> bytes:
    if picture.image_url is None:
        raise RequestError(f"{param}: there are no stored files here; send image_url with a data URL", param=param)
    return decode_text(picture.image_url, param)


async def _from_form(form: FormData) -> EditRequest:
    fields: dict[str, Any] = {}
    files: dict[str, list[bytes]] = {"image": [], "mask": []}
    for name, value in form.multi_items():
        if name in _FILE_FIELDS:
            if not isinstance(value, UploadFile):
                raise RequestError(f"{name} must be a file of the form, not text", param=name)
            files[name.removesuffix("[]")].append(await value.read())
        elif isinstance(value, UploadFile):
            raise RequestError(f"there is no file {name[:80]!r} in this form; send image and mask", param=name[:80])
        elif name.removesuffix("[]") in _LIST_FIELDS:
            fields.setdefault(name.removesuffix("[]"), []).append(value)
        else:
            fields[name] = value
    body = EditsBody.model_validate(fields)
    if len(files["image"]) != 1:
        raise _too_many(len(files["image"]))
    if len(files["mask"]) > 1:
        raise RequestError("mask was sent more than once; send one", param="mask")
    return EditRequest(body, files["image"][0], files["mask"][0] if files["mask"] else None)


def _too_many(num_pictures: int) -> RequestError:
    return RequestError(f"{num_pictures} pictures were sent; an edit takes one", param="image")
