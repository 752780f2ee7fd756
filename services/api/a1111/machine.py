"""`GET /sdapi/v1/memory` and `cmd-flags`: what A1111's clients ask of the machine that draws and how it was started."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from services.api.access import Caller, may_draw
from services.desk import Desk

router = APIRouter(prefix="/sdapi/v1", tags=["a1111"])


@router.get("/memory")
async def memory(request: Request, _: Caller = may_draw) -> dict[str, Mapping[str, Any]]:
    """Show the memory, in bytes, that one of the processes that draw uses of its machine and of its GPU."""
    found = await request.app.state.desk.studio.memory()
    return {"ram": found.ram, "cuda": {"error": "unavailable"} if found.cuda is None else found.cuda}


@router.get("/cmd-flags")
async def cmd_flags(request: Request, _: Caller = may_draw) -> dict[str, Any]:
    """Show those of A1111's command line flags that mean something here, with what holds here."""
    desk: Desk = request.app.state.desk
    facts = await desk.facts()
    return {
        "api": True,
        "ckpt": facts.base_model,
        "max_batch_count": desk.config.max_num_images,
        "cors_allow_origins": ",".join(desk.config.cors_origins) or None,
        "api_log": desk.config.log_prompts,
    }
