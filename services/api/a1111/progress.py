"""How far requests are: `/sdapi/v1/progress`, `/interrupt`, `/skip`; by name (`force_task_id`) `/internal/progress`.

Callers see and stop their own requests only. Besides, `/sdapi/v1/png-info`. Source: A1111 `modules/progress.py`.
"""

import time
import zlib
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from services.access.usage import RequestProgress
from services.api.a1111.fields import MAX_TASK_ID
from services.api.bodies import Body, Int
from services.api.callers import Caller, may_draw
from services.api.images.pictures import as_base64, encode_pixels
from services.api.images.uploads import decode_text
from services.desk import Desk, computing
from textinv.generation.infotext import read_infotext, read_png_infotext

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])
by_task = APIRouter(prefix="/internal", tags=["a1111"])


class PngInfoBody(BaseModel):
    """Body of `POST /sdapi/v1/png-info`."""

    image: str


class TaskBody(Body):
    """Body of `POST /internal/progress`."""

    id_task: Annotated[str, Field(max_length=MAX_TASK_ID)] | None = None
    """The `force_task_id` of the request."""
    id_live_preview: Int = -1
    """The preview that the caller has; a newer one is sent."""
    live_preview: bool = True
    """Whether a preview is wanted."""


@router.get("/progress")
async def progress(
    request: Request,
    skip_current_image: Annotated[bool, Query(description="Whether to leave the preview out.")] = False,
    caller: Caller = may_draw,
) -> dict[str, Any]:
    """Show how far the caller's oldest request is, and how its first picture looks.

    Previews are made for callers who looked here lately, so the first request of a new caller has none.
    """
    desk: Desk = request.app.state.desk
    running = await desk.usage.look(caller.id, sketches=not skip_current_image)
    first = running[0] if running else None
    sketch = None if first is None or skip_current_image else first.sketch
    return {
        "progress": first.share if first else 0.0,
        "eta_relative": first.left_s if first else 0.0,
        "state": _state(first, len(running)),
        "current_image": None if sketch is None else await computing(_encoded, sketch),
        "textinfo": f"{len(running)} of your requests are being drawn" if running else None,
    }


@router.post("/interrupt")
@router.post("/skip")
async def interrupt(request: Request, caller: Caller = may_draw) -> dict[str, Any]:
    """Stop the caller's own requests; they are answered without pictures."""
    desk: Desk = request.app.state.desk
    await desk.usage.interrupt(caller.id)
    return {}


@by_task.post("/progress")
async def task_progress(body: TaskBody, request: Request, caller: Caller = may_draw) -> dict[str, Any]:
    """Show how far a request of the caller is: queued until its first step is done, then active, then completed.

    Previews are made for callers who looked here lately, so the first request of a new caller has none.
    """
    desk: Desk = request.app.state.desk
    task = body.id_task or ""
    running = await desk.usage.look(caller.id, sketches=body.live_preview)
    one = next((one for one in running if task and one.task_id == task), None)
    if one is None or one.share == 0:
        queued = one is not None
        completed = not queued and await desk.usage.has_ended(caller.id, task)
        answer = _task_answer(queued=queued, completed=completed)
        return answer | {"textinfo": "In queue..." if queued else "Waiting..."}
    answer = _task_answer(active=True) | {"progress": one.share, "eta": one.left_s}
    return answer | (await computing(_preview_of, one, body.id_live_preview) if body.live_preview else {})


@router.post("/png-info")
async def png_info(body: PngInfoBody, request: Request, _: Caller = may_draw) -> dict[str, Any]:
    """Read the infotext of a PNG."""
    desk: Desk = request.app.state.desk
    return await computing(_info_of, body.image, desk.config.max_upload_px)


def _info_of(image: str, max_px: int) -> dict[str, Any]:
    text = read_png_infotext(decode_text(image, "image"), max_px) or ""
    if not text:
        return {"info": "", "items": {}, "parameters": {}}
    infotext = read_infotext(text)
    prompts = {"Prompt": infotext.prompt, "Negative prompt": infotext.negative_prompt}
    return {"info": text, "items": {"parameters": text}, "parameters": prompts | dict(infotext.settings)}


def _encoded(pixels: NDArray[np.uint8]) -> str:
    return as_base64(encode_pixels(pixels, "png", 100))


def _state(running: RequestProgress | None, num_jobs: int) -> dict[str, Any]:
    num_steps = running.num_steps if running else 0
    return {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "draw" if running else "",
        "job_count": num_jobs,
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"),
        "job_no": 0,
        "sampling_step": round(num_steps * running.share) if running else 0,
        "sampling_steps": num_steps,
    }


def _task_answer(*, active: bool = False, queued: bool = False, completed: bool = False) -> dict[str, Any]:
    states = {"active": active, "queued": queued, "completed": completed}
    return states | {"progress": None, "eta": None, "live_preview": None, "id_live_preview": -1, "textinfo": None}


def _preview_of(one: RequestProgress, known: int) -> dict[str, Any]:
    if one.sketch is None:
        return {}
    number = _number_of(one.sketch)
    if number == known:
        return {"id_live_preview": number}
    return {
        "id_live_preview": number,
        "live_preview": "data:image/png;base64," + as_base64(encode_pixels(one.sketch, "png", 100)),
    }


def _number_of(sketch: NDArray[np.uint8]) -> int:
    """A number that another preview does not have."""
    return zlib.crc32(sketch.tobytes())
