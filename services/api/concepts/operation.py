"""What operators do to concepts over HTTP: delete, and move the head to another version.

The same functions of the registry that `textinv concept` calls; running studios follow within seconds.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from pydantic import Field

from services.api.bodies import Body, Int
from services.api.callers import Caller, may_operate
from services.api.concepts.concepts import check_name
from services.desk import Desk, in_thread
from textinv.placeholders import MAX_VERSION

router = APIRouter(tags=["operation"])

Version = Annotated[int, Path(ge=1, le=MAX_VERSION)]


class RollbackBody(Body):
    """Body of `POST /v1/concepts/{name}/rollback`."""

    version: Int = Field(ge=1, le=MAX_VERSION)
    """The version that becomes the current one."""


@router.delete("/v1/concepts/{name}")
async def delete_concept(name: str, request: Request, caller: Caller = may_operate) -> dict[str, Any]:
    """Remove a concept with all its versions."""
    return await _remove(request.app.state.desk, name, None, caller)


@router.delete("/v1/concepts/{name}/versions/{version}")
async def delete_version(name: str, version: Version, request: Request, caller: Caller = may_operate) -> dict[str, Any]:
    """Remove one version that is not the current one."""
    return await _remove(request.app.state.desk, name, version, caller)


@router.post("/v1/concepts/{name}/rollback")
async def rollback(name: str, body: RollbackBody, request: Request, caller: Caller = may_operate) -> dict[str, Any]:
    """Make another version the current one."""
    desk: Desk = request.app.state.desk
    check_name(name, caller)
    published, note = await in_thread(desk.registry.roll_back, name, body.version)
    desk.concepts.forget()
    told = {"object": "concept", "name": name, "version": published.version, "digest": published.digest}
    return told | {"changed": note is None, "note": note}


async def _remove(desk: Desk, name: str, version: int | None, caller: Caller) -> dict[str, Any]:
    check_name(name, caller)
    await in_thread(desk.registry.remove, name, version)
    desk.concepts.forget()
    return {"object": "concept.deleted", "name": name, "version": version, "deleted": True}
