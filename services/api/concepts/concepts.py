"""`/v1/concepts`: what is stored, by page and by name.

Owns the JSON of concepts. Reads the registry and never publishes.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request

from services.api.callers import Caller, may_draw
from services.concept_list import ConceptList, Page
from services.desk import Desk, in_thread
from textinv.errors import CorruptObjectError, UnknownConceptError
from textinv.images.decode import SHOWN
from textinv.jobs.advice import why_stopped
from textinv.placeholders import MAX_VERSION, ConceptRef, is_name
from textinv.registry import ConceptSummary, PublishedVersion, VersionSummary
from textinv.registry.layout import media_type_of

router = APIRouter(tags=["concepts"])

Version = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="None: the current one.")]


@router.get("/v1/concepts")
async def list_concepts(
    request: Request,
    search: Annotated[str, Query(max_length=63, description="Part of the name.")] = "",
    after: Annotated[str, Query(max_length=63, description="The last name of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="Concepts per page.")] = 100,
    kind: Annotated[Literal["object", "style"] | None, Query(description="Only things, or only styles.")] = None,
    base_model: Annotated[str, Query(max_length=300, description="Only what was learned on this one.")] = "",
    order: Annotated[Literal["name", "newest"], Query(description="By name, or the last published first.")] = "name",
    caller: Caller = may_draw,
) -> dict[str, Any]:
    """List the stored concepts; `base_models` are those of all that the caller may see, whatever was searched for."""
    concepts: ConceptList = request.app.state.desk.concepts
    if order == "name" and not base_model:
        page = await in_thread(concepts.page, search, after, limit, caller.name_prefix, kind)
    else:
        every = await in_thread(concepts.page, search, "", sys.maxsize, caller.name_prefix, kind)
        page = _part(every.concepts, base_model, order, after, limit)
    return {
        "object": "list",
        "data": [_line(one) for one in page.concepts],
        "has_more": page.has_more,
        "next": page.concepts[-1].name if page.has_more else None,
        "total": page.total,
        "base_models": await in_thread(concepts.base_models, caller.name_prefix),
    }


@router.get("/v1/concepts/{name}")
async def show_concept(
    name: str, request: Request, version: Version = None, caller: Caller = may_draw
) -> dict[str, Any]:
    """Show a version of a concept: its training record, its latest scores, and all versions there are."""
    desk: Desk = request.app.state.desk
    check_name(name, caller)
    published = await in_thread(desk.registry.resolve, ConceptRef(name, version))
    return await in_thread(_shown, desk, published)


def check_name(name: str, caller: Caller) -> None:
    """Check that a path names a concept that the caller may touch.

    Raises:
        UnknownConceptError: nothing can have this name.
        AccessError: the caller's key is bound to other names.
    """
    if not is_name(name):
        raise UnknownConceptError(f"there is no concept {name[:80]!r}: this is not a valid name", concept=name[:80])
    caller.check_concepts([ConceptRef(name)])


def _part(concepts: Sequence[ConceptSummary], base_model: str, order: str, after: str, limit: int) -> Page:
    """The next `limit` behind the name `after`; nothing where `after` was deleted meanwhile."""
    found = [one for one in concepts if base_model in ("", one.base_model)]
    if order == "newest":
        found.sort(key=lambda one: one.created, reverse=True)
    start = next((place for place, one in enumerate(found, 1) if one.name == after), len(found)) if after else 0
    return Page(found[start : start + limit], start + limit < len(found), len(found))


def _line(one: ConceptSummary) -> dict[str, Any]:
    shown = dataclasses.asdict(one) | {"object": "concept", "placeholder": f"<{one.name}>"}
    del shown["fingerprint"]
    return shown | {"thumbnail": f"/v1/concepts/{one.name}/thumbnail?version={one.version}"}


def _shown(desk: Desk, published: PublishedVersion) -> dict[str, Any]:
    stopped = published.record.get("stopped")  # a record may come from anywhere
    return {
        "object": "concept",
        "name": published.name,
        "placeholder": f"<{published.name}>",
        "version": published.version,
        "created": published.created,
        "run_id": published.run_id,
        "digest": published.digest,
        "base_model": published.base_model,
        "base_revision": published.base_revision,
        "num_vectors": published.embedding.num_vectors,
        "widths": published.embedding.widths,
        "record": dict(published.record),
        "evaluation": _latest_scores(desk, published),
        "why_stopped": why_stopped(stopped if isinstance(stopped, str) else None),
        "previews": _previews(desk, published),
        "versions": [_version(one) for one in desk.registry.versions(published.name)],
    }


def _latest_scores(desk: Desk, published: PublishedVersion) -> Mapping[str, Any] | None:
    """The evaluation that was made last; one that was added later and is damaged does not hide the record's."""
    try:
        latest: Any = [None, *desk.registry.evaluations(published)][-1]
    except CorruptObjectError:
        latest = published.record.get("evaluation")
    return latest if isinstance(latest, dict) else None


def _previews(desk: Desk, published: PublishedVersion) -> list[dict[str, str]]:
    """Links to its pictures; what a record says of their types is not passed on, as it may come from anywhere."""
    return [
        {"file": file, "url": desk.store.presign(artifact.key, desk.config.url_expires_s, kind)}
        for file, artifact in desk.registry.pictures(published.name, published.version)
        if (kind := media_type_of(file)) in SHOWN.values()
    ]


def _version(one: VersionSummary) -> dict[str, Any]:
    return dataclasses.asdict(one) | {"object": "concept.version", "placeholder": f"<{one.name}@{one.version}>"}
