"""Examples of answers about training pictures, jobs and the fleet, for the OpenAPI document. Data only."""

from typing import Any

_ID = "my-fox-1a2b3c4d5e"
_DIGEST = "4f" * 32
_DRIVER = {"running": True, "state": "running", "problem": None}

PICTURE: dict[str, Any] = {
    "object": "image",
    "id": f"sha256:{_DIGEST}",
    "digest": _DIGEST,
    "created": True,
    "width": 640,
    "height": 480,
    "bytes": 81234,
    "transparent": False,
    "training": {
        "resolution_px": 64,
        "crop": "center",
        "box": {"left": 80.0, "top": 0.0, "right": 560.0, "bottom": 480.0},
        "width": 64,
        "height": 64,
        "scale": 0.1333,
        "turned": False,
    },
    "usable": True,
    "problems": [{"code": "enlarged", "severity": "warning", "message": "...", "other": None}],
    "thumbnail": f"/v1/images/{_DIGEST}/thumbnail?resolution_px=64&crop=center&seed=0",
}

MANIFEST: dict[str, Any] = {
    "base_model": "emoji",
    "name": "my fox",
    "defaults": {"recipe": "balanced"},
    "concepts": [{"name": "my-fox", "kind": "object", "class_word": "fox", "images": [f"sha256:{_DIGEST}"]}],
}

SUBMITTED: dict[str, Any] = {
    "object": "job",
    "id": _ID,
    "name": "my fox",
    "dry_run": False,
    "state": "waiting",
    "url": f"/v1/jobs/{_ID}",
    "events": f"/v1/jobs/{_ID}/events",
    "counts": {"new": 1, "changed": 0, "done": 0},
    "estimate": {
        "concepts": 1,
        "sample_passes": 800,
        "max_sample_passes": 1000,
        "preview_passes": 75,
        "evaluation_passes": 0,
        "init_passes": 0,
        "worker_s": 61.0,
        "cost": 0.05,
    },
    "warnings": [],
    "notes": [],
    "concepts": [{"name": "my-fox", "state": "new", "reason": "it is not there yet", "version": None}],
    "moved_heads": 0,
    "driver": {"running": False, "state": "starting", "problem": None},
}

SUMMARY: dict[str, Any] = {
    "object": "job",
    "id": _ID,
    "name": "my fox",
    "kind": "concepts",
    "guess": None,
    "state": "running",
    "submitted": "2026-01-01T00:00:00+00:00",
    "updated": "2026-01-01T00:00:30+00:00",
    "generation": 1,
    "priority": 0,
    "gate": "on",
    "base_model": "emoji",
    "concepts_total": 1,
    "counts": {"waiting": 0, "running": 1, "done": 0, "failed": 0, "cancelled": 0},
    "workers": 1,
    "elapsed_s": 12.3,
    "concepts_per_hour": None,
    "eta_s": 48.2,
    "problem": None,
    "advice": None,
    "url": f"/v1/jobs/{_ID}",
    "events": f"/v1/jobs/{_ID}/events",
}

CONCEPT: dict[str, Any] = {
    "name": "my-fox",
    "placeholder": "<my-fox>",
    "fingerprint": _DIGEST,
    "kind": "object",
    "class_word": "fox",
    "recipe": "balanced",
    "state": "running",
    "step": 55,
    "max_steps": 250,
    "loss": 0.131,
    "sample_passes": 220,
    "elapsed_s": 11.0,
    "eta_s": 39.0,
    "worker": "crew-ab12cd/0-1f2e3d",
    "version": None,
    "stopped": None,
    "why_stopped": None,
    "failure": None,
    "curve": [{"step": 0, "loss": 0.171}, {"step": 5, "loss": 0.166}],
    "previews": [{"step": 50, "url": f"/v1/jobs/{_ID}/concepts/my-fox/previews/50"}],
    "pictures": [
        {
            "digest": _DIGEST,
            "name": f"sha256:{_DIGEST[:12]}",
            "caption": None,
            "thumbnail": f"/v1/images/{_DIGEST}/thumbnail?resolution_px=64&crop=center&seed=0",
        }
    ],
}

JOB: dict[str, Any] = {**SUMMARY, "driver": _DRIVER, "concepts": [CONCEPT], "offset": 0, "has_more": False}

JOBS: dict[str, Any] = {"object": "list", "data": [SUMMARY], "has_more": False, "next": None, "total": 1}

EVENTS = (
    "retry: 2000\n\n"
    f'id: 1f2e3d4c-0\nevent: job.snapshot\ndata: {{"type": "job.snapshot", "job_id": "{_ID}", "job": {{}}}}\n\n'
    f'id: 1f2e3d4c-1\nevent: concept.progress\ndata: {{"type": "concept.progress", "job_id": "{_ID}", '
    '"name": "my-fox", "step": 55, "max_steps": 250, "loss": 0.13, "points": [{"step": 55, "loss": 0.13}]}\n\n'
)

FLEET: dict[str, Any] = {
    "object": "fleet",
    "fleet": "local-0a1b2c3d4e",
    "updated": "2026-01-01T00:00:30+00:00",
    "driver": _DRIVER,
    "settings": {"min_workers": 0, "max_workers": 1, "crew_size": 1, "draining": False},
    "queue": {"waiting": 3, "leased": 4, "expiries": 0},
    "concepts_per_hour": 61.2,
    "jobs": [_ID],
    "resources": {"cpus": 16.0, "gpus": 1.0},
    "nodes": [
        {
            "node": "5e" * 28,
            "address": "10.0.0.7",
            "cpus": 16.0,
            "gpus": 1.0,
            "gpu_type": "L4",
            "gpu_memory_bytes": 24152899584,
            "gpu_memory_used_bytes": 9663676416,
        }
    ],
    "crews": [{"name": "crew-ab12cd", "workers": 1}],
    "workers": [{"id": "crew-ab12cd/0-1f2e3d", "pid": 123, "concepts": ["my-fox"], "silent_s": 0.4}],
    "failures": [
        {
            "name": "my-hen",
            "fingerprint": _DIGEST,
            "code": "diverged",
            "message": "my-hen: the loss became non-finite by step 20",
            "advice": "Lower the learning rate or use another recipe, and submit again.",
            "workers_died": 0,
            "when": "2026-01-01T00:00:20+00:00",
        }
    ],
    "links": {"ray_dashboard": None, "grafana": None},
}


def answered_with(example: Any, media_type: str = "application/json") -> dict[int | str, dict[str, Any]]:
    """What a route answers, for FastAPI's `responses`."""
    return {200: {"content": {media_type: {"example": example}}}}
