"""`POST /sdapi/v1/txt2img` and `img2img`.

Owns the way from A1111's fields to a `GenerateRequest`: attention weights are syntax, bare names are concepts
where the base model and the caller can use them.
"""

import json
import math
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.api.a1111.answers import answer_of
from services.api.a1111.fields import Img2ImgBody, Txt2ImgBody
from services.api.a1111.listings import check_checkpoint
from services.api.access import Caller, may_draw
from services.api.drawing import Finished, concepts_header, finish, unless_gone
from services.api.image_requests import RANDOM_SEED_BELOW
from services.api.sizes import ChosenSize, Size, choose_size, fit_to_base
from services.api.uploads import decode_text, decode_upload, resized, white_mask
from services.concept_list import find_listed
from services.desk import Desk, in_thread
from services.in_flight import InterruptedByCallerError, Running
from services.replies import Reply, make_reply
from services.studio import StudioFacts
from textinv.errors import RequestError
from textinv.generation.noise_schedulers import find_scheduler_kind
from textinv.generation.prompt_aliases import expand_bare_names
from textinv.generation.request import GenerateRequest
from textinv.images import Picture

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])
# Of each picture, for callers who look at their progress: a preview costs about as much as an inference step or two.
_NUM_SKETCHES = 3


@router.post("/txt2img")
async def txt2img(body: Txt2ImgBody, request: Request, caller: Caller = may_draw) -> Response:
    """Draw pictures of a prompt."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    asked = Size(body.width or facts.native_px, body.height or facts.native_px)
    size = choose_size(asked, facts, desk.config.resize)
    order = await in_thread(_order_of, body, size, facts, caller, desk)
    return await _answer(desk, request, caller, body, size, order)


@router.post("/img2img")
async def img2img(body: Img2ImgBody, request: Request, caller: Caller = may_draw) -> Response:
    """Draw over a picture, or over the part of it that a mask shows."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    size, order = await in_thread(_edit_of, body, facts, caller, desk)
    return await _answer(desk, request, caller, body, size, order)


def _order_of(body: Txt2ImgBody, size: ChosenSize, facts: StudioFacts, caller: Caller, desk: Desk) -> GenerateRequest:
    num_images = body.batch_size * body.n_iter
    if num_images > desk.config.max_num_images:
        raise RequestError(
            f"batch_size x n_iter is {num_images}; this service draws {desk.config.max_num_images} at most per request",
            param="batch_size",
        )
    check_checkpoint(desk, (body.model_extra or {}).get("override_settings"))
    sampler = body.sampler_name or body.sampler_index
    is_concept = _bare_concepts(desk, facts, caller)
    order = GenerateRequest(
        prompt=expand_bare_names(body.prompt, is_concept),
        negative_prompt=expand_bare_names(body.negative_prompt, is_concept),
        width_px=size.drawn.width_px,
        height_px=size.drawn.height_px,
        num_inference_steps=body.steps,
        guidance_scale=body.cfg_scale,
        seed=secrets.randbelow(RANDOM_SEED_BELOW) if body.seed == -1 else body.seed,
        noise_scheduler=_noise_scheduler(sampler, body.scheduler),
        num_images=num_images,
        attention_weights=True,
        caller=caller.id,
    )
    order.check()
    caller.check_concepts(order.refs)
    return order


def _bare_concepts(desk: Desk, facts: StudioFacts, caller: Caller) -> Callable[[str], bool]:
    """Tell which bare words are concepts that the base model and the caller can use; all others are plain text.

    The list is read once, when a word could be one.
    """
    listed = cache(desk.concepts.all)

    def is_concept(word: str) -> bool:
        found = find_listed(listed(), word) if word.startswith(caller.name_prefix) else None
        return found is not None and facts.fits(found)

    return is_concept


def _noise_scheduler(sampler: str | None, schedule_type: str | None) -> str | None:
    if sampler is None and schedule_type is None:
        return None
    try:
        return find_scheduler_kind(sampler, schedule_type).name
    except RequestError as error:
        raise RequestError(error.message, param="sampler_name") from error


def _edit_of(body: Img2ImgBody, facts: StudioFacts, caller: Caller, desk: Desk) -> tuple[ChosenSize, GenerateRequest]:
    if len(body.init_images) != 1:
        raise RequestError(f"init_images has {len(body.init_images)} pictures; send one", param="init_images")
    picture = _decoded(body.init_images[0], "init_images", desk)
    natural = Size(picture.width_px, picture.height_px)
    if body.width or body.height:
        asked = Size(body.width or natural.width_px, body.height or natural.height_px)
        size = choose_size(asked, facts, desk.config.resize)
    else:
        size = fit_to_base(natural, facts, desk.config.resize)
    mask = _decoded(body.mask, "mask", desk) if body.mask else None
    order = _order_of(body, size, facts, caller, desk)
    edit = replace(
        order,
        init_image=resized(picture.pixels, size.drawn),
        mask=white_mask(mask, size.drawn, bool(body.inpainting_mask_invert)) if mask else None,
        strength=body.denoising_strength,
    )
    return size, edit


def _decoded(text: str, param: str, desk: Desk) -> Picture:
    return decode_upload(decode_text(text, param), param, desk.config.max_upload_px)


async def _answer(
    desk: Desk, request: Request, caller: Caller, body: Txt2ImgBody, size: ChosenSize, order: GenerateRequest
) -> Response:
    if await desk.ledger.is_watched(caller.id):
        order = replace(order, preview_every=math.ceil(order.num_inference_steps / (_NUM_SKETCHES + 1)))
    facts = await desk.facts()
    asked = f"{request.url.path} {json.dumps(body.model_dump())}".encode()

    async def work() -> Reply:
        running = Running(order.caller, order.num_inference_steps, order.num_images, task_id=body.force_task_id or "")
        drawing = finish(desk.draw(order, caller.key, progress=True), running)
        finished = await desk.in_flight.run(running, drawing)
        return await in_thread(_reply_of, body, size, order, finished, facts, asked)

    key = request.headers.get("idempotency-key")
    try:
        reply = await unless_gone(request, work() if key is None else desk.replies.once(caller.id, key, asked, work))
    except InterruptedByCallerError:  # not remembered: whoever asks again wants the pictures
        reply = await in_thread(_reply_of, body, size, order, Finished((), {}), facts, asked)
    finally:
        if body.force_task_id:
            await desk.ledger.note_end(caller.id, body.force_task_id)
    headers = dict(reply.headers)
    if body.ignored:
        headers["x-textinv-ignored"] = ", ".join(name[:64].encode("ascii", "replace").decode() for name in body.ignored)
    return Response(reply.body, media_type=reply.media_type, headers=headers)


def _reply_of(
    body: Txt2ImgBody, size: ChosenSize, order: GenerateRequest, finished: Finished, facts: StudioFacts, asked: bytes
) -> Reply:
    content = json.dumps(answer_of(body, order, size, finished, facts)).encode()
    return make_reply(asked, content, "application/json", concepts_header(finished.concepts))
