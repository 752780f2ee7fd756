"""`/v1/jobs`: what was submitted, how far it is, and changing one's mind.

Owns finding jobs and concepts for a caller. Submitting is in `jobs_submission`, following in `jobs_events`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field

from services.api.bodies import Body
from services.api.callers import Caller, may_submit
from services.api.jobs import job_json
from services.api.jobs.examples import CONCEPT, JOB, JOBS, SUMMARY, answered_with
from services.desk import Desk, in_thread
from services.teaching.learning import Learning
from textinv.errors import AccessError, ClusterError, RequestError, StoreConflictError, UnknownConceptError
from textinv.jobs import JobRecord
from textinv.jobs.details import ConceptDetail, concept_detail, concept_details
from textinv.jobs.job_store import Outcome
from textinv.jobs.layout import SPECS_PER_SHEET
from textinv.jobs.previews import MEDIA_TYPE, read_preview
from textinv.jobs.purge import purge as purge_pictures
from textinv.jobs.status import JobState
from textinv.spec import TrainSpec

router = APIRouter(tags=["jobs"])
_FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
_MAX_STEP = 10**6 - 1
_PAGE = 100

Limit = Annotated[int, Query(ge=1, le=1000, description="Lines per page.")]


class CancelBody(Body):
    """Body of `POST /v1/jobs/{job}/cancel`."""

    model_config = ConfigDict(extra="forbid")

    keep_best: bool = False
    """Whether the best rows that were learned so far are published."""
    concepts: list[str] | None = Field(default=None, max_length=10_000)
    """Only these; none: all that is not done."""


@router.get("/v1/jobs", responses=answered_with(JOBS))
async def list_jobs(
    request: Request,
    after: Annotated[str, Query(max_length=100, description="The last id of the page before.")] = "",
    limit: Limit = 20,
    state: Annotated[JobState | None, Query(description="Only jobs in this state.")] = None,
    caller: Caller = may_submit,
) -> dict[str, Any]:
    """List the jobs, the last submitted first."""
    learning: Learning = request.app.state.desk.learning
    page = await in_thread(learning.jobs.page, after, limit, caller.name_prefix, state)
    return {
        "object": "list",
        "data": [job_json.summary(record, status) for record, status in page.jobs],
        "has_more": page.has_more,
        "next": page.jobs[-1][0].id if page.has_more and page.jobs else None,
        "total": page.total,
    }


@router.get("/v1/jobs/{job}", responses=answered_with(JOB))
async def show_job(
    job: str,
    request: Request,
    offset: Annotated[int, Query(ge=0, le=10**9, description="Concepts to pass over.")] = 0,
    limit: Limit = _PAGE,
    state: Annotated[JobState | None, Query(description="Only concepts in this state.")] = None,
    caller: Caller = may_submit,
) -> dict[str, Any]:
    """Show a job and its concepts, in the manifest's order."""
    desk: Desk = request.app.state.desk
    record = await in_thread(find_job, desk.learning, job, caller)
    return await in_thread(shown_job, desk, record, offset, limit, state)


@router.get("/v1/jobs/{job}/concepts/{name}", responses=answered_with(CONCEPT))
async def show_concept(job: str, name: str, request: Request, caller: Caller = may_submit) -> dict[str, Any]:
    """Show all that is known of one concept of a job: its whole curve, its previews, its training record."""
    desk: Desk = request.app.state.desk
    record = await in_thread(find_job, desk.learning, job, caller)
    return await in_thread(_shown_concept, desk, record, name)


@router.get("/v1/jobs/{job}/concepts/{name}/previews/{step}", response_class=Response)
async def show_preview(
    job: str,
    name: str,
    step: Annotated[int, Path(ge=0, le=_MAX_STEP)],
    request: Request,
    caller: Caller = may_submit,
) -> Response:
    """Show how a concept was drawn after so many steps (JPEG)."""
    desk: Desk = request.app.state.desk
    record = await in_thread(find_job, desk.learning, job, caller)
    spec = await in_thread(_find_spec, desk.learning, record, name)
    picture = await in_thread(read_preview, desk.store, spec.fingerprint, step)
    if picture is None:
        raise UnknownConceptError(f"there is no preview of {name} after {step} steps", concept=name)
    return Response(picture, media_type=MEDIA_TYPE, headers=_FOREVER)


@router.post("/v1/jobs/{job}/cancel", responses=answered_with(SUMMARY))
async def cancel(
    job: str, request: Request, body: CancelBody | None = None, caller: Caller = may_submit
) -> dict[str, Any]:
    """Cancel a job, or some of its concepts; what is published stays, and what has ended (`note` says so)."""
    learning: Learning = request.app.state.desk.learning
    asked = body or CancelBody()
    record = await in_thread(find_job, learning, job, caller)
    outcome = await in_thread(learning.job_store.cancel, record.id, asked.concepts, asked.keep_best)
    return await in_thread(_told, learning, outcome)


@router.post("/v1/jobs/{job}/resume", responses=answered_with(SUMMARY))
async def resume(job: str, request: Request, caller: Caller = may_submit) -> dict[str, Any]:
    """Take a job up again: what was cancelled or has failed is tried again, what is half done goes on.

    Of a job that is done nothing changes, and `note` says so.
    """
    learning: Learning = request.app.state.desk.learning
    record = await in_thread(find_job, learning, job, caller)
    outcome = await in_thread(lambda: learning.job_store.resume(record.id, learning.fleet.name))
    if outcome.changed:
        await in_thread(learning.fleet.ensure)
    return await in_thread(_told, learning, outcome)


@router.post("/v1/jobs/{job}/purge")
async def purge(job: str, request: Request, caller: Caller = may_submit) -> dict[str, Any]:
    """Delete the training pictures and previews of a job that is over, for good; digests stay in the records. Pictures
    that other jobs use stay (`kept`) until those are purged too."""
    desk: Desk = request.app.state.desk
    record = await in_thread(find_job, desk.learning, job, caller)
    try:
        done = await in_thread(purge_pictures, desk.registry, record.id)
    except StoreConflictError as error:  # its own doing, so sending it again would not help
        raise RequestError(error.message, param="job") from error
    return {"object": "job.purged", "id": record.id, "pictures": done.deleted, "kept": done.kept}


def find_job(learning: Learning, job: str, caller: Caller) -> JobRecord:
    """Read the record of a job that the caller may touch.

    Raises:
        UnknownConceptError: there is none.
        AccessError: the caller's key is bound to other names.
    """
    if not job.isascii() or not job.replace("-", "").isalnum() or len(job) > 60:
        raise UnknownConceptError(f"there is no job {job[:80]!r}: this is not a job id", job=job[:80])
    # Whoever sees some jobs only must not learn of others by what their ids begin with.
    record = learning.job_store.load(job) if caller.name_prefix else learning.job_store.find(job)
    if not record.name_prefix.startswith(caller.name_prefix):
        raise AccessError(
            f"the API key is bound to concepts that start with {caller.name_prefix!r}; job {job} has others",
            role="submit",
        )
    return record


def shown_job(
    desk: Desk, record: JobRecord, offset: int = 0, limit: int = _PAGE, state: str | None = None
) -> dict[str, Any]:
    """A job with a part of its concepts."""
    learning = desk.learning
    status = learning.job_store.current_status(record)
    if state is None:
        specs, more = _specs_from(learning, record, offset, limit), offset + limit < record.num_concepts
        found: Sequence[ConceptDetail] = concept_details(learning.job_store, desk.registry, status, specs)
    else:
        every = _specs_from(learning, record, 0, record.num_concepts)
        mine = [
            one
            for one in concept_details(learning.job_store, desk.registry, status, every)
            if one.status.state == state
        ]
        found, more = mine[offset : offset + limit], offset + limit < len(mine)
    return job_json.summary(record, status) | {
        "driver": driver_facts(learning, record),
        "concepts": [job_json.concept(record.id, one) for one in found],
        "offset": offset,
        "has_more": more,
    }


def driver_facts(learning: Learning, record: JobRecord | None = None) -> dict[str, Any]:
    """Whether a driver serves the fleet; another fleet's is not seen from here."""
    try:
        if record is not None and record.fleet != learning.fleet.name:
            return {"running": None, "state": "unknown", "problem": f"the job belongs to fleet {record.fleet!r}"}
        facts = learning.fleet.driver().to_json()
        if learning.stored_fleet.settings().draining:
            facts["problem"] = "the fleet is drained: its jobs wait until an operator scales it"
        return facts
    except ClusterError as error:
        return {"running": None, "state": "unknown", "problem": error.message}


def _told(learning: Learning, outcome: Outcome) -> dict[str, Any]:
    learning.jobs.forget()
    summary = job_json.summary(outcome.record, learning.job_store.current_status(outcome.record))
    return summary | {"changed": outcome.changed, "note": outcome.note}


def _shown_concept(desk: Desk, record: JobRecord, name: str) -> dict[str, Any]:
    learning = desk.learning
    spec = _find_spec(learning, record, name)
    detail = concept_detail(learning.job_store, desk.registry, learning.job_store.current_status(record), spec)
    shown = job_json.concept(record.id, detail)
    if shown["failure"] is not None:
        shown["failure"]["evidence"] = job_json.evidence(detail.failure)
    return shown | {"record": None if detail.record is None else dict(detail.record)}


def _find_spec(learning: Learning, record: JobRecord, name: str) -> TrainSpec:
    for number in range(record.num_sheets):
        for spec in learning.sheet(record, number):
            if spec.name == name:
                return spec
    raise UnknownConceptError(f"there is no concept {name[:80]!r} in job {record.id}", concept=name[:80])


def _specs_from(learning: Learning, record: JobRecord, offset: int, limit: int) -> list[TrainSpec]:
    """A part of a job's specs; sheets hold a fixed number of them each."""
    first, last = offset // SPECS_PER_SHEET, (offset + limit - 1) // SPECS_PER_SHEET
    numbers = range(first, min(last + 1, record.num_sheets))
    specs = [spec for number in numbers for spec in learning.sheet(record, number)]
    start = offset - first * SPECS_PER_SHEET
    return specs[start : start + limit]
