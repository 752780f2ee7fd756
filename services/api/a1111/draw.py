"""`POST /sdapi/v1/txt2img` and `img2img`.

Owns the way from A1111's fields to a `GenerateRequest`: attention weights are syntax, and stored names are concepts
without brackets, too.
"""

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import Response

from services.access.in_flight import InterruptedByCallerError, Running
from services.answers.idempotency import Reply, make_reply, seed_of
from services.api.a1111.answers import answer_of
from services.api.a1111.bare_names import BareNames, ignored_in
from services.api.a1111.fields import Img2ImgBody, Txt2ImgBody
from services.api.a1111.listings import CLIP_SKIP, check_checkpoint, clip_skip_of, ignored_options
from services.api.a1111.samplers import choose_sampler
from services.api.answering import KEY_HEADER, answer_once, header_list
from services.api.callers import Caller, may_draw
from services.api.images.drawing import Finished, concepts_header, finish, notes_header
from services.api.images.image_requests import RANDOM_SEED_BELOW
from services.api.images.sizes import ChosenSize, Size, choose_size, fit_to_base
from services.api.images.uploads import decode_text, decode_upload, resized, white_mask
from services.desk import Desk, computing, in_thread
from services.drawing.studio import StudioFacts
from textinv.errors import RequestError, UnknownConceptError
from textinv.generation.request import GenerateRequest
from textinv.images import Picture

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])
# Of each picture, for callers who look at their progress: a preview costs about as much as an inference step or two.
_NUM_SKETCHES = 3


@router.post("/txt2img")
async def txt2img(body: Txt2ImgBody, request: Request, caller: Caller = may_draw) -> Response:
    """Draw pictures of a prompt.

    Names of stored concepts work as `<name>`, `embedding:name` and without brackets. A new name works at once in the
    first two ways, and without brackets a few seconds later (minutes, where listing the store takes long); it is plain
    text there until then. What has no effect here is listed in the header `x-textinv-ignored`.
    """
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    asked = Size(body.width or facts.native_px, body.height or facts.native_px)
    size = choose_size(asked, facts, resize=True)
    bare = BareNames(desk, facts, caller)
    wanted = await in_thread(_wanted_of, body, size, facts, bare, caller, desk)
    return await _answer(desk, request, caller, body, size, wanted, bare)


@router.post("/img2img")
async def img2img(body: Img2ImgBody, request: Request, caller: Caller = may_draw) -> Response:
    """Draw over a picture, or over the part of it that a mask shows.

    The mask shows it in white or, where it has transparent parts, by what is opaque. Names are as in `txt2img`.
    """
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    bare = BareNames(desk, facts, caller)
    size, wanted = await in_thread(_edit_of, body, facts, bare, caller, desk)
    return await _answer(desk, request, caller, body, size, wanted, bare)


def _wanted_of(
    body: Txt2ImgBody, size: ChosenSize, facts: StudioFacts, bare: BareNames, caller: Caller, desk: Desk
) -> GenerateRequest:
    num_images = body.batch_size * body.n_iter
    if num_images > desk.config.max_num_images:
        raise RequestError(
            f"batch_size x n_iter is {num_images}; this service draws {desk.config.max_num_images} at most per request",
            param="batch_size",
        )
    settings = (body.model_extra or {}).get("override_settings")
    check_checkpoint(desk, settings)
    wanted = GenerateRequest(
        prompt=bare.expand(body.prompt),
        negative_prompt=bare.expand(body.negative_prompt),
        width_px=size.drawn.width_px,
        height_px=size.drawn.height_px,
        num_inference_steps=body.steps or facts.num_inference_steps,
        guidance_scale=facts.guidance_scale if body.cfg_scale is None else body.cfg_scale,
        seed=secrets.randbelow(RANDOM_SEED_BELOW) if body.seed == -1 else body.seed,
        noise_scheduler=choose_sampler(body.sampler, body.scheduler).noise_scheduler or facts.noise_scheduler,
        num_images=num_images,
        attention_weights=True,
        caller=caller.id,
        bases=desk.config.bases,
        clip_skip=clip_skip_of(facts, settings),
    )
    wanted.check()
    caller.check_concepts(wanted.refs)
    return wanted


def _edit_of(
    body: Img2ImgBody, facts: StudioFacts, bare: BareNames, caller: Caller, desk: Desk
) -> tuple[ChosenSize, GenerateRequest]:
    if len(body.init_images) != 1:
        raise RequestError(f"init_images has {len(body.init_images)} pictures; send one", param="init_images")
    picture = _decoded(body.init_images[0], "init_images", desk)
    natural = Size(picture.width_px, picture.height_px)
    if body.width or body.height:
        asked = Size(body.width or natural.width_px, body.height or natural.height_px)
        size = choose_size(asked, facts, resize=True)
    else:
        size = fit_to_base(natural, facts, resize=True)
    mask = _decoded(body.mask, "mask", desk) if body.mask else None
    wanted = _wanted_of(body, size, facts, bare, caller, desk)
    edit = replace(
        wanted,
        init_image=resized(picture.pixels, size.drawn),
        mask=white_mask(mask, size.drawn, bool(body.inpainting_mask_invert)) if mask else None,
        strength=body.denoising_strength,
    )
    return size, edit


def _decoded(text: str, param: str, desk: Desk) -> Picture:
    return decode_upload(decode_text(text, param), param, desk.config.max_upload_px)


async def _answer(
    desk: Desk,
    request: Request,
    caller: Caller,
    body: Txt2ImgBody,
    size: ChosenSize,
    wanted: GenerateRequest,
    bare: BareNames,
) -> Response:
    if await desk.usage.is_watched(caller.id):
        wanted = replace(wanted, preview_every=math.ceil((wanted.num_inference_steps or 0) / (_NUM_SKETCHES + 1)))
    facts, num_steps = await desk.facts(), wanted.num_inference_steps or 0
    asked = f"{request.url.path} {json.dumps(body.model_dump())}".encode()
    key = request.headers.get(KEY_HEADER)
    if key is not None and body.seed == -1:
        wanted = replace(wanted, seed=seed_of(caller.id, key, RANDOM_SEED_BELOW))

    async def work() -> Reply:
        running = Running(wanted.caller, num_steps, wanted.num_images, task_id=body.force_task_id or "")
        drawing = _draw(desk, caller, body, wanted, bare, running)
        drawn, finished = await desk.in_flight.run(running, drawing)
        return await computing(_reply_of, body, size, drawn, finished, facts, asked)

    try:
        reply = await answer_once(desk, request, caller, asked, work)
    except InterruptedByCallerError:  # not remembered: whoever asks again wants the pictures
        reply = await computing(_reply_of, body, size, wanted, Finished((), {}), facts, asked)
    finally:
        if body.force_task_id:
            await desk.usage.note_end(caller.id, body.force_task_id)
    headers = dict(reply.headers)
    if ignored := _ignored(body, facts):
        headers["x-textinv-ignored"] = header_list(ignored)
    return Response(reply.body, media_type=reply.media_type, headers=headers)


async def _draw(
    desk: Desk, caller: Caller, body: Txt2ImgBody, wanted: GenerateRequest, bare: BareNames, running: Running
) -> tuple[GenerateRequest, Finished]:
    """Draw, once more for every bare name that turns out to be gone; what was drawn in the end, and its pictures."""
    while True:
        try:
            return wanted, await finish(desk.draw(wanted, caller.key, progress=True), running)
        except UnknownConceptError as error:
            if not await in_thread(bare.drop, error):
                raise
        prompts = await in_thread(lambda: (bare.expand(body.prompt), bare.expand(body.negative_prompt)))
        wanted = replace(wanted, prompt=prompts[0], negative_prompt=prompts[1])


def _ignored(body: Txt2ImgBody, facts: StudioFacts) -> list[str]:
    """What was asked for to no effect."""
    ignored, settings = body.ignored, (body.model_extra or {}).get("override_settings")
    ignored = [*ignored, *ignored_in(f"{body.prompt}\n{body.negative_prompt}")]
    if isinstance(settings, Mapping):
        heeded = () if clip_skip_of(facts, settings) is None else (CLIP_SKIP,)
        ignored += [f"override_settings.{key}" for key in ignored_options(facts, settings) if key not in heeded]
    elif settings:
        ignored.append("override_settings")
    if not choose_sampler(body.sampler, body.scheduler).has_schedule_type:
        ignored.append("scheduler")
    return sorted(ignored)


def _reply_of(
    body: Txt2ImgBody, size: ChosenSize, wanted: GenerateRequest, finished: Finished, facts: StudioFacts, asked: bytes
) -> Reply:
    content = json.dumps(answer_of(body, wanted, size, finished, facts, _ignored(body, facts))).encode()
    headers = concepts_header(finished.concepts) | notes_header(finished.notes)
    return make_reply(asked, content, "application/json", headers)
