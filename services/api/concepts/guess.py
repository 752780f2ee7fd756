"""`POST /v1/concepts/guess`: rows for a concept from its pictures, in one pass, to draw with before it is learned.

Owns the two spellings of the body, its bounds, and the answer. Rows are held for whoever asked (`held_guesses`), under
a name that prompts write as `<name@guess>`; nothing is published, and pictures that come with it are not kept. How rows
are predicted is the studio's matter.
"""

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, ValidationError
from starlette.datastructures import FormData, UploadFile

from services.api.bodies import Body, Int
from services.api.callers import Caller, may_submit
from services.api.errors import refusal
from services.api.images.uploads import decode_text, decode_upload
from services.api.jobs.training_pictures import base_facts_of, digest_of
from services.desk import Desk, computing, in_thread
from services.drawing.held_guesses import HELD_S, HeldGuess
from services.log_lines import note
from textinv.errors import ImageError, RequestError
from textinv.placeholders import NAME_RULE, ConceptRef, is_name
from textinv.plan.recipes import INSTANT, RECIPES
from textinv.plan.sources import DIGEST, StoredPicture
from textinv.plan.templates import TEMPLATES

router = APIRouter(tags=["concepts"])
_MAX_PICTURES = 8
"""A guess looks at no more."""
_MAX_VECTORS = 32
"""As in a manifest."""
_FILES = ("image", "image[]")


class GuessFields(Body):
    """What `POST /v1/concepts/guess` takes beside the pictures."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=63, examples=["my-crab"])
    """What prompts call it, with `@guess` behind; another guess of that name is replaced. None: one is made up."""
    kind: Literal["object", "style"] = "object"
    """Whether the pictures show one thing, or one style."""
    class_word: str | None = Field(default=None, min_length=1, max_length=200)
    """What kind of thing it is: only to draw it at a strength, `<name@guess:0.7>`."""
    num_vectors: Int = Field(default=RECIPES[INSTANT].num_vectors, ge=1, le=_MAX_VECTORS)
    """How many rows; none: as the recipe `instant`."""


class JsonGuessBody(GuessFields):
    """The JSON body."""

    images: list[str] = Field(min_length=1, max_length=_MAX_PICTURES)
    """Pictures in base64, as data URLs, or ids of `POST /v1/images`."""


def _body_schema() -> dict[str, Any]:
    form = GuessFields.model_json_schema()
    form["properties"]["image"] = {"type": "array", "items": {"type": "string", "format": "binary"}}
    form["required"] = ["image"]
    as_json = {"schema": JsonGuessBody.model_json_schema()}
    return {"required": True, "content": {"application/json": as_json, "multipart/form-data": {"schema": form}}}


@router.post("/v1/concepts/guess", openapi_extra={"requestBody": _body_schema()})
async def guess(request: Request, caller: Caller = may_submit) -> dict[str, Any]:
    """Guess a concept from its pictures, within about a second: for an hour your prompts may write `<name@guess>`."""
    desk: Desk = request.app.state.desk
    fields, sent = await _read(request)
    name = _name_of(fields, caller)
    base = await base_facts_of(desk, None)
    digest = await in_thread(desk.learning.guess, base)
    files = [await in_thread(_file_of, desk, one, place) for place, one in enumerate(sent)]
    for place, file in enumerate(files):
        await computing(decode_upload, file, f"images.{place}", desk.config.max_upload_px, to_learn=True)
    facts = await desk.facts()
    async with desk.usage.place(caller.key):
        rows = await desk.studio.guess(digest, files, fields.kind, fields.num_vectors)
    held = HeldGuess(
        name=name,
        kind=fields.kind,
        class_word=fields.class_word,
        rows=rows,
        guess=digest,
        base_model=facts.base_model,
        base_revision=facts.base_revision,
        family=facts.family,
        expires_s=time.time() + HELD_S,
    )
    await desk.guesses.hold(caller.id, held)
    note(concepts=[str(held.ref)])
    return _told(held, len(files), fields.num_vectors)


async def _read(request: Request) -> tuple[GuessFields, list[str | bytes]]:
    """The fields, and the pictures as they were sent.

    Raises:
        RequestError: a field cannot be used, or there are too few pictures or too many.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "multipart/form-data":
            return await _from_form(await request.form(max_files=64, max_fields=20))
        try:
            sent = json.loads(await request.body())
        except (ValueError, RecursionError) as error:
            raise RequestError(f"the body is not JSON: {str(error)[:200]}") from error
        body = JsonGuessBody.model_validate(sent)
    except ValidationError as error:
        raise refusal(list(error.errors(include_url=False))) from error
    return GuessFields.model_validate(body.model_dump(exclude={"images"})), list(body.images)


async def _from_form(form: FormData) -> tuple[GuessFields, list[str | bytes]]:
    fields: dict[str, Any] = {}
    files: list[str | bytes] = []
    for name, value in form.multi_items():
        if isinstance(value, UploadFile) != (name in _FILES):
            raise RequestError(f"{name[:80]}: pictures are files in the field image, all else is text", param=name[:80])
        if isinstance(value, UploadFile):
            files.append(await value.read())
        else:
            fields[name] = value
    if not 1 <= len(files) <= _MAX_PICTURES:
        raise RequestError(f"{len(files)} pictures were sent: send 1 to {_MAX_PICTURES}", param="image")
    return GuessFields.model_validate(fields), files


def _name_of(fields: GuessFields, caller: Caller) -> str:
    """The name that is asked for, or one that nobody else has.

    Raises:
        RequestError: it cannot be a name.
        AccessError: the caller's key is bound to other names.
    """
    name = fields.name or f"{caller.name_prefix}guess-{secrets.token_hex(4)}"
    if not is_name(name):
        raise RequestError(f"name: {name[:80]!r} does not name a concept: a name is {NAME_RULE}", param="name")
    caller.check_concepts([ConceptRef(name)])
    return name


def _file_of(desk: Desk, sent: str | bytes, place: int) -> bytes:
    """The file of one picture.

    Raises:
        RequestError: it is neither base64 nor the id of an upload.
        ImageError: nobody uploaded it, or it is empty.
    """
    param = f"images.{place}"
    try:
        if isinstance(sent, str) and sent.startswith(DIGEST):
            return StoredPicture(desk.store, digest_of(sent, param)).read()
    except ImageError as error:
        raise ImageError(error.message, param=param) from error
    file = decode_text(sent, param) if isinstance(sent, str) else sent
    if not file:
        raise ImageError(f"{param} is empty: send the picture's file", param=param)
    return file


def _told(held: HeldGuess, num_pictures: int, num_vectors: int) -> dict[str, Any]:
    return {
        "object": "concept.guess",
        "name": held.name,
        "placeholder": held.ref.placeholder,
        "prompt": TEMPLATES[held.kind][0].format(held.ref.placeholder),
        "expires": datetime.fromtimestamp(held.expires_s, UTC).isoformat(timespec="seconds"),
        "expires_in_s": round(HELD_S),
        "kind": held.kind,
        "class_word": held.class_word,
        "pictures": num_pictures,
        "num_vectors": num_vectors,
        "digest": held.digest,
        "guess": held.guess,
        "base_model": held.base_model,
        "base_revision": held.base_revision,
    }
