"""`POST /v1/images/generations`, in OpenAI's shape.

Owns the way from its body to a `GenerateRequest` and from pictures to its answer. Streams are in `streams`.
"""

import hashlib
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from services.answers.idempotency import Reply, make_reply, seed_of
from services.answers.pruning import PICTURES, day_of
from services.api.answering import KEY_HEADER, answer_once
from services.api.callers import Caller, may_draw
from services.api.images.concepts_asked import apply_concepts
from services.api.images.drawing import (
    Finished,
    begin,
    check_flagged,
    concepts_header,
    finish,
    flag_of,
    learned_on_of,
    notes_header,
    notes_of,
)
from services.api.images.hints import hints_for
from services.api.images.image_requests import RANDOM_SEED_BELOW, DrawFields, GenerationsBody
from services.api.images.pictures import as_base64, encode_picture
from services.api.images.sizes import ChosenSize, choose_size, parse_size
from services.api.images.streams import stream_events
from services.desk import Desk, computing, in_thread
from services.drawing.studio import StudioFacts
from textinv.errors import RequestError
from textinv.generation.request import GenerateRequest
from textinv.generation.told_sizes import read_sizes

Fields = TypeVar("Fields", bound=DrawFields)

router = APIRouter(tags=["images"])
MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}


@router.post("/v1/images/generations")
async def generate(body: GenerationsBody, request: Request, caller: Caller = may_draw) -> Response:
    """Draw pictures of a prompt in which `<name>` stands for any stored concept."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    body = settle_model(body, desk, facts)
    size = choose_size(parse_size(body.size, facts), facts, desk.config.resize)
    return await answer(desk, request, caller, body, size, request_of(body, size, caller, desk, facts))


def settle_model(body: Fields, desk: Desk, facts: StudioFacts) -> Fields:
    """Check that the base model asked for is the one that draws; `base:concept` lists a concept beside it.

    Raises:
        RequestError: it is another one.
    """
    model, bases = body.model, (facts.base_model, desk.config.base_model)
    if model in (None, "", *bases):
        return body
    # From the right: a folder or file that is named as the base may hold a colon itself.
    base, _, concept = str(model).rpartition(":")
    if base in bases and concept:
        return body.model_copy(update={"model": base, "concepts": [*body.concepts, concept]})
    raise RequestError(
        f"there is no model {str(model)[:80]!r} here; leave `model` out, use {desk.config.base_model!r}, or "
        f"'{desk.config.base_model}:CONCEPT' with a concept that the prompt names",
        param="model",
    )


def request_of(body: DrawFields, size: ChosenSize, caller: Caller, desk: Desk, facts: StudioFacts) -> GenerateRequest:
    """Turn a body into what the studio draws.

    Raises:
        RequestError: fields do not go together.
    """
    body.check_together(desk.config.max_num_images)
    prompt, negative_prompt = apply_concepts(body.prompt, body.negative_prompt, body.concepts)
    steps, partials = body.num_inference_steps or facts.num_inference_steps, body.partial_images
    request = GenerateRequest(
        prompt=prompt,
        negative_prompt=negative_prompt,
        width_px=size.drawn.width_px,
        height_px=size.drawn.height_px,
        num_inference_steps=steps,
        guidance_scale=facts.guidance_scale if body.guidance_scale is None else body.guidance_scale,
        guidance_rescale=body.guidance_rescale,
        seed=body.choose_seed(),
        noise_scheduler=body.noise_scheduler or facts.noise_scheduler,
        num_images=body.n,
        attention_weights=body.attention_weights,
        deadline_s=body.deadline_s,
        preview_every=math.ceil(steps / (partials + 1)) if partials else 0,
        caller=caller.turn_of(body.user),
        bases=body.bases or desk.config.bases,
        clip_skip=body.clip_skip,
        instruction=body.instruction,
        sizes=read_sizes(body.original_size, body.crop_top_left, body.target_size),
    )
    request.check()
    caller.check_concepts(request.refs)
    return request


async def answer(
    desk: Desk,
    request: Request,
    caller: Caller,
    body: DrawFields,
    size: ChosenSize,
    wanted: GenerateRequest,
    files_digest: str = "",
) -> Response:
    """Draw and answer: as a stream, or at once and (with an `Idempotency-Key`) only once.

    `files_digest` tells apart requests whose bodies are alike but for their files.

    Raises:
        RequestError: a stream has an `Idempotency-Key`.
    """
    key = request.headers.get(KEY_HEADER)
    if body.stream:
        if key is not None:
            raise RequestError(
                "a stream is not kept for a retry; leave the Idempotency-Key out, or stream: true",
                param="Idempotency-Key",
            )
        return await _streamed(desk, caller, body, size, wanted)
    if key is not None and body.seed is None:
        wanted = replace(wanted, seed=seed_of(caller.id, key, RANDOM_SEED_BELOW))
    asked = f"{request.url.path} {body.model_dump_json()} {files_digest}".encode()

    async def work() -> Reply:
        finished = await finish(desk.draw(wanted, caller.key))
        finished = replace(finished, notes=(*finished.notes, *hints_for(desk, caller, wanted.prompt)))
        return await _reply_of(desk, body, size, finished, asked)

    reply = await answer_once(desk, request, caller, asked, work)
    content = await in_thread(_with_urls, desk, reply)
    return Response(content, media_type=reply.media_type, headers=reply.headers)


async def _streamed(
    desk: Desk, caller: Caller, body: DrawFields, size: ChosenSize, wanted: GenerateRequest
) -> StreamingResponse:
    events = desk.draw(wanted, caller.key)
    begun = await begin(events)
    begun = replace(begun, notes=(*begun.notes, *hints_for(desk, caller, wanted.prompt)))
    kind = "image_edit" if wanted.init_image is not None else "image_generation"
    blocks = stream_events(kind, body, size, begun, events)
    headers = concepts_header(begun.concepts) | notes_header(begun.notes)
    return StreamingResponse(blocks, media_type="text/event-stream", headers=headers)


async def _reply_of(desk: Desk, body: DrawFields, size: ChosenSize, finished: Finished, asked: bytes) -> Reply:
    check_flagged(finished.drawings)
    files = await computing(_encode, body, size, finished)
    keys: list[str] = []
    pictures: list[dict[str, Any]] = [{} for _ in files]
    if body.response_format == "url":
        keys = await in_thread(_upload, desk, files, body.output_format)
    else:
        pictures = [{"b64_json": as_base64(file)} for file in files]
    answered = {
        "created": int(time.time()),
        "data": [
            picture | {"seed": drawing.seed} | flag_of(drawing)
            for picture, drawing in zip(pictures, finished.drawings, strict=True)
        ],
        "size": str(size.answered),
        "output_format": body.output_format,
        "background": "opaque",
        "concepts": dict(finished.concepts),
        **learned_on_of(finished.learned_on),
        **notes_of(finished.notes),
    }
    headers = concepts_header(finished.concepts) | notes_header(finished.notes)
    return make_reply(asked, json.dumps(answered).encode(), "application/json", headers, keys)


def _encode(body: DrawFields, size: ChosenSize, finished: Finished) -> list[bytes]:
    return [
        encode_picture(drawing, body.output_format, body.output_compression, size.resized)
        for drawing in finished.drawings
    ]


def _upload(desk: Desk, files: Sequence[bytes], form: str) -> list[str]:
    keys = [f"{PICTURES}{day_of(time.time())}/{hashlib.sha256(file).hexdigest()}.{form}" for file in files]
    for key, file in zip(keys, files, strict=True):
        desk.store.put(key, file, MEDIA_TYPES[form])
    return keys


def _with_urls(desk: Desk, reply: Reply) -> bytes:
    """The bytes of an answer, with new URLs of its pictures if it has any."""
    if not reply.pictures:
        return reply.body
    answered = json.loads(reply.body)
    media_type = MEDIA_TYPES[answered["output_format"]]
    urls = [desk.store.presign(key, desk.config.url_expires_s, media_type) for key in reply.pictures]
    answered["data"] = [{"url": url} | one for url, one in zip(urls, answered["data"], strict=True)]
    return json.dumps(answered).encode()
