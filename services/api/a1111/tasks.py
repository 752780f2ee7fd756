"""`POST /internal/progress`: how far one request is, by the name that its caller gave it (`force_task_id`).

Source: A1111 `modules/progress.py`. Callers see their own requests only.
"""

import zlib
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request
from numpy.typing import NDArray
from pydantic import Field

from services.access.usage import RequestProgress
from services.api.a1111.fields import MAX_TASK_ID
from services.api.access import Caller, may_draw
from services.api.bodies import Body, Int
from services.api.images.pictures import as_base64, encode_pixels
from services.desk import Desk, in_thread

router = APIRouter(prefix="/internal", tags=["a1111"])


class TaskBody(Body):
    """Body of `POST /internal/progress`."""

    id_task: Annotated[str, Field(max_length=MAX_TASK_ID)] | None = None
    """The `force_task_id` of the request."""
    id_live_preview: Int = -1
    """The preview that the caller has; a newer one is sent."""
    live_preview: bool = True
    """Whether a preview is wanted."""


@router.post("/progress")
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
        answer = _answer(queued=queued, completed=completed)
        return answer | {"textinfo": "In queue..." if queued else "Waiting..."}
    answer = _answer(active=True) | {"progress": one.share, "eta": one.left_s}
    return answer | (await in_thread(_preview_of, one, body.id_live_preview) if body.live_preview else {})


def _answer(*, active: bool = False, queued: bool = False, completed: bool = False) -> dict[str, Any]:
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
