"""`POST /v1/jobs`: a manifest from a program, planned, written down and given to the fleet.

Owns reading the manifest and its answer. Validation, plan, fingerprints and record are those of `textinv submit`: the
same functions make them. A manifest from afar names uploaded pictures and allowed prefixes, never a path of this disk.
"""

import json
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from services.answers.idempotency import Reply, make_reply
from services.api.answering import answer_once
from services.api.callers import Caller, may_submit
from services.api.jobs.examples import MANIFEST, SUBMITTED, answered_with
from services.api.jobs.job_json import job_url
from services.api.jobs.training_pictures import base_facts_of
from services.desk import Desk, in_thread
from services.teaching.learning import Learning
from textinv.errors import ClusterError, ManifestError, RequestError
from textinv.jobs.sharing import Tenant
from textinv.jobs.submission import Submission, id_of, submit_plan
from textinv.manifest import Manifest, parse_manifest
from textinv.manifest.origin import Problem, raise_problems
from textinv.placeholders import ConceptRef, refs_in
from textinv.plan import Plan, make_plan
from textinv.plan.resolve import BaseFacts, base_name
from textinv.states import MAX_PRIORITY

router = APIRouter(tags=["jobs"])
_FILE = "manifest"
_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"type": "object"}, "example": MANIFEST},
        "application/yaml": {"schema": {"type": "string"}},
    },
}


@router.post("/v1/jobs", openapi_extra={"requestBody": _BODY}, responses=answered_with(SUBMITTED))
async def submit(
    request: Request,
    dry_run: Annotated[bool, Query(description="Only say what would be done.")] = False,
    priority: Annotated[int, Query(ge=-MAX_PRIORITY, le=MAX_PRIORITY, description="Higher is served first.")] = 0,
    gate: Annotated[
        Literal["off", "warn", "on"],
        Query(
            description="Of a version whose scores fell beside the current one's: `on` does not make it current until "
            "somebody does, `warn` does and says so in its record, `off` does not look."
        ),
    ] = "on",
    caller: Caller = may_submit,
) -> Response:
    """Learn the concepts of a manifest (JSON or YAML); what is done already is not learned again."""
    desk: Desk = request.app.state.desk
    caller.check_priority(priority)
    body = await request.body()
    manifest = await in_thread(_manifest, body, request.headers.get("content-type", ""))
    _check_names(manifest, caller)
    manifest = _with_defaults(manifest, desk.learning)
    base = await _base(desk, manifest)
    if dry_run:
        plan = await in_thread(_plan, desk, manifest, base)
        return Response(json.dumps(_answer(plan, None, None)), media_type="application/json")
    asked = f"{request.url.path} {priority} {gate} ".encode() + body

    async def work() -> Reply:
        plan = await in_thread(_plan, desk, manifest, base)
        content = json.dumps(await in_thread(_submitted, desk, plan, priority, gate, caller.tenant)).encode()
        return make_reply(asked, content, "application/json", {})

    reply = await answer_once(desk, request, caller, asked, work)
    return Response(reply.body, media_type=reply.media_type, headers=reply.headers)


def _manifest(body: bytes, content_type: str) -> Manifest:
    """Read a manifest.

    Raises:
        RequestError: it is no text.
        ManifestError: it says something that it may not say.
    """
    is_json = "json" in content_type.partition(";")[0].lower()
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"the manifest is not UTF-8 text (byte {error.start})") from error
    if not is_json:
        return parse_manifest(text, _FILE)
    try:
        text = json.dumps(_without_nulls(json.loads(text)), ensure_ascii=False)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {str(error)[:200]}") from error
    try:
        return parse_manifest(text, _FILE)
    except ManifestError as error:
        raise_problems(Problem(**{**one, "line": None}) for one in error.details.get("problems", ()))
        raise


def _without_nulls(value: Any) -> Any:
    """JSON without fields that are null, which programs write for what they leave out."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def _check_names(manifest: Manifest, caller: Caller) -> None:
    """Check that the caller may touch every concept that a manifest learns or starts from.

    Raises:
        AccessError: its key is bound to other names.
    """
    fields = (manifest.defaults, *manifest.concepts)
    caller.check_concepts(ConceptRef(concept.name) for concept in manifest.concepts)
    caller.check_concepts(ref for one in fields if one.init for ref in refs_in(one.init))


def _with_defaults(manifest: Manifest, learning: Learning) -> Manifest:
    """The manifest with the service's defaults where it says nothing."""
    first, *others = (concept.name for concept in manifest.concepts)
    name = manifest.name or (f"{first} and {len(others)} more" if others else first)
    defaults = manifest.defaults
    if defaults.preview_every is None:
        defaults = defaults.model_copy(update={"preview_every": learning.config.preview_every})
    return manifest.model_copy(update={"name": name, "defaults": defaults})


async def _base(desk: Desk, manifest: Manifest) -> BaseFacts:
    if manifest.revision is not None:
        raise RequestError("revision: the service chooses it; leave it out", param="revision")
    return await base_facts_of(desk, base_name(manifest))


def _plan(desk: Desk, manifest: Manifest, base: BaseFacts) -> Plan:
    learning = desk.learning
    return make_plan(
        manifest,
        desk.registry,
        settings=learning.settings,
        base=base,
        shelf=learning.shelf(),
        facts=learning.facts,
    )


def _submitted(
    desk: Desk, plan: Plan, priority: int, gate: Literal["off", "warn", "on"], tenant: Tenant
) -> dict[str, Any]:
    """Write the job down and see to a driver."""
    learning = desk.learning
    spec = plan.specs[0].spec
    made = submit_plan(
        plan,
        desk.registry,
        base_model=spec.base_model,
        fleet=learning.fleet.name,
        priority=priority,
        gate=gate,
        tenant=tenant,
    )
    learning.jobs.forget()
    desk.concepts.forget()
    driver = None
    if plan.counts["new"] + plan.counts["changed"]:
        try:
            learning.fleet.ensure()
            driver = learning.fleet.driver().to_json()
        except ClusterError as error:
            raise ClusterError(f"job {made.record.id} is stored, but waits: {error.message}") from error
    return _answer(plan, made, driver)


def _answer(plan: Plan, made: Submission | None, driver: dict[str, Any] | None) -> dict[str, Any]:
    told = plan.to_json()
    job_id = id_of(plan) if made is None else made.record.id
    return {
        "object": "job",
        "id": job_id,
        "name": plan.name,
        "dry_run": made is None,
        "state": "waiting" if plan.counts["new"] + plan.counts["changed"] else "done",
        "url": job_url(job_id),
        "events": f"{job_url(job_id)}/events",
        "counts": told["counts"],
        "estimate": told["estimate"],
        "warnings": told["warnings"],
        "notes": told["notes"],
        "concepts": told["concepts"],
        "moved_heads": 0 if made is None else made.moved_heads,
        "driver": driver,
    }
