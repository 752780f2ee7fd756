"""`/healthz` (the process lives) and `/readyz` (a request could be drawn now). Neither needs a key."""

from fastapi import APIRouter, Request

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that the process lives."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(request: Request) -> dict[str, str]:
    """Say whether the base model is warm and the store answers; 503 with the reason when not."""
    await request.app.state.desk.check_ready()
    facts = await request.app.state.desk.facts()
    return {"status": "ready", "base_model": facts.base_model, "base_revision": facts.base_revision}
