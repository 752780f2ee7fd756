"""What the service says of itself: `/healthz`, `/readyz`, and `/v1/models`, the base model in OpenAI's shape.

`/v1/models` says, too, what pictures may be that are sent here, so that nobody uploads in vain, and whether there is a
guess to predict rows with. Concepts are listed at `/v1/concepts`.
"""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request

from services.api.callers import Caller, may_draw
from services.api.jobs.training_pictures import base_facts_of
from services.desk import Desk, in_thread
from textinv.errors import StoreError, UnknownConceptError
from textinv.images.decode import FORMATS

health = APIRouter(tags=["health"])
models = APIRouter(tags=["models"])
_STARTED = int(time.time())
_STORE_S = 1.0
"""Without the store's answer nothing is offered that needs the store."""


@health.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@health.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Say whether the base model is warm and the store answers; 503 with the reason when not."""
    await request.app.state.desk.check_ready()
    facts = await request.app.state.desk.facts()
    return {"status": "ready", "base_model": facts.base_model, "base_revision": facts.base_revision}


@models.get("/v1/models")
async def list_models(request: Request, _: Caller = may_draw) -> dict[str, Any]:
    """List the base model that draws."""
    return {"object": "list", "data": [await _model(request.app.state.desk)]}


@models.get("/v1/models/{model:path}")
async def show_model(model: str, request: Request, _: Caller = may_draw) -> dict[str, Any]:
    """Show the base model that draws."""
    shown = await _model(request.app.state.desk)
    if model != shown["id"]:
        raise UnknownConceptError(f"there is no model {model[:80]!r} here; this service draws with {shown['id']!r}")
    return shown


async def _model(desk: Desk) -> dict[str, Any]:
    facts = await desk.facts()
    return {
        "id": desk.config.base_model,
        "object": "model",
        "created": _STARTED,
        "owned_by": "textinv",
        "base_model": facts.base_model,
        "revision": facts.base_revision,
        "family": facts.family,
        "num_inference_steps": facts.num_inference_steps,
        "guidance_scale": facts.guidance_scale,
        "noise_scheduler": facts.noise_scheduler,
        "native_px": facts.native_px,
        "screened": facts.screened,
        "guess": await _guess(desk),
        "uploads": {
            "max_px": desk.config.max_upload_px,
            "max_bytes": desk.config.max_body_bytes,
            "media_types": [f"image/{one.lower()}" for one in FORMATS],
        },
    }


async def _guess(desk: Desk) -> str | None:
    """The digest of the guess of `POST /v1/concepts/guess`; None: there is none, or the store does not say."""
    base = await base_facts_of(desk, None)
    try:
        async with asyncio.timeout(_STORE_S):
            found = await in_thread(lambda: desk.learning.guesses(base).found)
    except (StoreError, TimeoutError):
        return None
    return None if found is None else found.digest
