"""`GET /v1/jobs/{job}/events`: a job as server-sent events.

Owns the names and fields of events, and how a reader goes on where it was. A reader that leaves is noticed by the
server, which closes the generator; the job is then looked at no more for its sake.
"""

import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse

from services.api.callers import Caller, may_submit
from services.api.errors import error_of
from services.api.jobs import job_json
from services.api.jobs.examples import EVENTS, answered_with
from services.api.jobs.jobs import find_job, shown_job
from services.desk import Desk, in_thread
from services.log_lines import note
from services.teaching.job_watch import Change, ConceptChange, ConceptProgress, JobWatch, NewPreview
from textinv.errors import TextinvError
from textinv.jobs.details import concept_details

router = APIRouter(tags=["jobs"])
HEARTBEAT_S = 10.0
_RETRY = "retry: 2000\n\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


@router.get(
    "/v1/jobs/{job}/events", response_class=StreamingResponse, responses=answered_with(EVENTS, "text/event-stream")
)
async def follow(
    job: str,
    request: Request,
    last_event_id: Annotated[str, Query(max_length=100, description="As the header Last-Event-ID.")] = "",
    caller: Caller = may_submit,
) -> StreamingResponse:
    """Follow a job to its end."""
    desk: Desk = request.app.state.desk
    record = await in_thread(find_job, desk.learning, job, caller)
    watch = desk.learning.watch(record)
    since = request.headers.get("last-event-id") or last_event_id
    return StreamingResponse(_events(desk, watch, since), media_type="text/event-stream", headers=_HEADERS)


async def _events(desk: Desk, watch: JobWatch, since: str) -> AsyncIterator[str]:
    yield _RETRY
    try:
        seen = await watch.next_round(-1 if watch.rounds == 0 else watch.rounds)
        number, told_at = _number_in(since, watch), time.monotonic()
        while True:
            fresh = None if number is None else watch.since(number)
            if fresh is None or number is None:
                fresh, number = [], watch.number
                yield _block(watch, number, "job.snapshot", {"job": await in_thread(shown_job, desk, watch.record)})
            for one, change in fresh:
                number, told_at = one, time.monotonic()
                yield _block(watch, number, *await _told(desk, watch, change))
            if watch.ended and number == watch.number:
                summary = job_json.summary(watch.record, watch.status)
                yield _block(watch, number, "job.end", {"job": summary})
                return
            if time.monotonic() - told_at > HEARTBEAT_S:
                told_at = time.monotonic()
                yield ": alive\n\n"
            seen = await watch.next_round(seen)
    except TextinvError as error:
        note(error=error.code)
        yield f"event: error\ndata: {json.dumps({'type': 'error', **error_of(error)[1]})}\n\n"


def _number_in(since: str, watch: JobWatch) -> int | None:
    """The number of the last event that a reader has; None when it is to begin anew."""
    token, _, number = since.partition("-")
    if token != watch.token or not number.isdecimal() or len(number) > 15:
        return None
    return int(number) if watch.since(int(number)) is not None else None


async def _told(desk: Desk, watch: JobWatch, change: Change) -> tuple[str, dict[str, Any]]:
    """The name and the fields of a change."""
    job_id = watch.record.id
    if watch.record.kind == "guess":
        return "job.state", {"job": job_json.summary(watch.record, change.status)}
    if isinstance(change, NewPreview):
        url = job_json.preview_url(job_id, change.concept.name, change.step)
        return "concept.preview", {"name": change.concept.name, "step": change.step, "url": url}
    if isinstance(change, ConceptProgress):
        shown = {"name": change.concept.name, **job_json.progress(change.concept)}
        return "concept.progress", shown | {"points": job_json.points(change.points)}
    if isinstance(change, ConceptChange):
        return "concept.state", {"concept": await in_thread(_concept, desk, watch, change)}
    return "job.state", {"job": job_json.summary(watch.record, change.status)}


def _concept(desk: Desk, watch: JobWatch, change: ConceptChange) -> dict[str, Any]:
    learning, record = desk.learning, watch.record
    sheets = (learning.sheet(record, number) for number in range(record.num_sheets))
    spec = next(spec for sheet in sheets for spec in sheet if spec.name == change.concept.name)
    (detail,) = concept_details(learning.job_store, desk.registry, change.status, [spec])
    return job_json.concept(record.id, detail)


def _block(watch: JobWatch, number: int, kind: str, fields: dict[str, Any]) -> str:
    data = json.dumps({"type": kind, "job_id": watch.record.id, **fields})
    return f"id: {watch.token}-{number}\nevent: {kind}\ndata: {data}\n\n"
