"""`GET /sdapi/v1/progress`, `POST /interrupt`, `/skip`, `/png-info`. Callers see and stop their own requests only."""

import time
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from services.api.access import Caller, may_draw
from services.api.uploads import decode_text
from services.desk import Desk
from services.in_flight import Running
from textinv.generation.infotext import read_infotext, read_png_infotext

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])


class PngInfoBody(BaseModel):
    """Body of `POST /sdapi/v1/png-info`."""

    image: str


@router.get("/progress")
async def progress(request: Request, caller: Caller = may_draw) -> dict[str, Any]:
    """Show how far the caller's oldest request is."""
    desk: Desk = request.app.state.desk
    running = desk.in_flight.of(caller.id)
    first = running[0] if running else None
    return {
        "progress": first.share if first else 0.0,
        "eta_relative": first.left_s if first else 0.0,
        "state": _state(first, len(running)),
        "current_image": None,
        "textinfo": f"{len(running)} of your requests are being drawn" if running else None,
    }


@router.post("/interrupt")
@router.post("/skip")
async def interrupt(request: Request, caller: Caller = may_draw) -> dict[str, Any]:
    """Stop the caller's own requests; they are answered without pictures."""
    request.app.state.desk.in_flight.interrupt(caller.id)
    return {}


@router.post("/png-info")
async def png_info(body: PngInfoBody, _: Caller = may_draw) -> dict[str, Any]:
    """Read the infotext of a PNG."""
    text = read_png_infotext(decode_text(body.image, "image")) or ""
    if not text:
        return {"info": "", "items": {}, "parameters": {}}
    infotext = read_infotext(text)
    prompts = {"Prompt": infotext.prompt, "Negative prompt": infotext.negative_prompt}
    return {"info": text, "items": {"parameters": text}, "parameters": prompts | dict(infotext.settings)}


def _state(running: Running | None, num_jobs: int) -> dict[str, Any]:
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
