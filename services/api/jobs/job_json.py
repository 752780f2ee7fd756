"""The JSON of jobs and their concepts.

Owns its fields. Does not read anything.
"""

from collections.abc import Mapping
from typing import Any

from services.api.jobs.training_pictures import thumbnail_url
from textinv.jobs import ConceptStatus, JobRecord, JobStatus
from textinv.jobs.advice import NO_WORKERS, advice_for, why_stopped
from textinv.jobs.details import ConceptDetail
from textinv.jobs.record import Failure
from textinv.spec import TrainSpec

COUNTS = ("waiting", "running", "done", "failed", "cancelled")


def job_url(job_id: str) -> str:
    """Where a job is shown."""
    return f"/v1/jobs/{job_id}"


def preview_url(job_id: str, name: str, step: int) -> str:
    """Where a preview is shown."""
    return f"{job_url(job_id)}/concepts/{name}/previews/{step}"


def summary(record: JobRecord, status: JobStatus) -> dict[str, Any]:
    """A job as a whole; one that trains a guess has that in the place of concepts."""
    return {
        "object": "job",
        "id": record.id,
        "name": record.name,
        "kind": record.kind,
        "guess": _guess(status) if record.kind == "guess" else None,
        "state": status.state,
        "submitted": record.submitted,
        "updated": status.updated,
        "generation": record.generation,
        "priority": record.priority,
        "gate": record.gate,
        "base_model": record.base_model,
        "concepts_total": record.num_concepts,
        "counts": {name: getattr(status, name) for name in COUNTS},
        "workers": status.workers,
        "elapsed_s": round(status.elapsed_s, 2),
        "concepts_per_hour": status.concepts_per_hour,
        "eta_s": status.eta_s,
        "problem": status.problem,
        "advice": NO_WORKERS if status.problem and status.ended else None,
        "url": job_url(record.id),
        "events": f"{job_url(record.id)}/events",
    }


def _guess(status: JobStatus) -> dict[str, Any]:
    """How far the guess of a job is."""
    one = next(iter(status.concepts), None) or ConceptStatus(name="guess", fingerprint="", state=status.state)
    told = {"state": one.state, **progress(one), "worker": one.worker, "why_stopped": why_stopped(one.stopped)}
    told |= {"curve": points(one.curve), "failure": None}
    if one.state == "failed" and one.problem:
        code, _, message = one.problem.partition(": ")
        told["failure"] = {"code": code, "message": message, "advice": advice_for(code), "workers_died": 0}
    return told


def concept(job_id: str, detail: ConceptDetail) -> dict[str, Any]:
    """One concept of a job."""
    spec, status = detail.spec, detail.status
    return {
        "name": spec.name,
        "placeholder": f"<{spec.name}>",
        "fingerprint": status.fingerprint,
        "kind": spec.kind,
        "class_word": spec.class_word,
        "recipe": spec.recipe,
        "state": status.state,
        **progress(status),
        "max_steps": status.max_steps or spec.max_steps,
        "worker": status.worker,
        "version": status.version,
        "stopped": status.stopped,
        "why_stopped": why_stopped(status.stopped),
        "failure": _failure(detail),
        "curve": points(status.curve),
        "previews": [{"step": step, "url": preview_url(job_id, spec.name, step)} for step in status.previews],
        "pictures": _pictures(spec),
    }


def progress(status: ConceptStatus) -> dict[str, Any]:
    """How far a concept is."""
    runs = status.state == "running" and status.step > 0
    left_s = status.elapsed_s / status.step * (status.max_steps - status.step) if runs else None
    return {
        "step": status.step,
        "max_steps": status.max_steps,
        "loss": status.loss,
        "sample_passes": status.sample_passes,
        "elapsed_s": round(status.elapsed_s, 2),
        "eta_s": None if left_s is None else round(left_s, 1),
    }


def points(curve: Any) -> list[dict[str, Any]]:
    """Looks at the fixed batch."""
    return [{"step": step, "loss": loss} for step, loss in curve]


def failure(found: Failure) -> dict[str, Any]:
    """Why a concept was given up."""
    return {
        "code": found.code,
        "message": found.message,
        "advice": advice_for(found.code),
        "workers_died": len(found.evidence),
    }


def evidence(found: Failure | None) -> list[Mapping[str, Any]]:
    """What was known of the workers that died."""
    return list(found.evidence) if found else []


def _failure(detail: ConceptDetail) -> dict[str, Any] | None:
    if detail.status.state != "failed":
        return None
    if detail.failure is not None:
        return failure(detail.failure)
    code, _, message = (detail.status.problem or "training_failed: it failed").partition(": ")
    return {"code": code, "message": message, "advice": advice_for(code), "workers_died": 0}


def _pictures(spec: TrainSpec) -> list[dict[str, Any]]:
    return [
        {
            "digest": one.digest,
            "name": one.name,
            "caption": one.caption,
            "thumbnail": thumbnail_url(one.digest, spec.resolution_px, spec.crop, spec.seed),
        }
        for one in spec.pictures
    ]
