"""`/v1/fleet`: the workers that learn, for their owner; the same records that `textinv fleet` reads and writes."""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field

from services.api.bodies import Body, Int
from services.api.callers import Caller, may_own
from services.api.jobs import job_json
from services.api.jobs.examples import FLEET, answered_with
from services.api.jobs.jobs import driver_facts
from services.desk import Desk, in_thread
from services.teaching.learning import Learning

router = APIRouter(tags=["operation"])
_MAX_FAILURES = 20
_MAX_WORKERS = 100_000


class ScaleBody(Body):
    """Body of `POST /v1/fleet/scale`; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    min: Int | None = Field(default=None, ge=0, le=_MAX_WORKERS, examples=[0])
    """Workers to keep even when there is no work."""
    max: Int | None = Field(default=None, ge=1, le=_MAX_WORKERS, examples=[2])
    """Most workers at a time."""
    crew_size: Int | None = Field(default=None, ge=1, le=_MAX_WORKERS, examples=[1])
    """Workers that start and stop together."""


@router.get("/v1/fleet", responses=answered_with(FLEET))
async def show_fleet(request: Request, caller: Caller = may_own) -> dict[str, Any]:
    """Show the driver, the crews, the workers, the queue, and what failed lately.

    `resources` and `nodes` are those of the Ray that learns, seen by its driver: null and empty while none runs. A
    node's `gpu_type` and memory (of all its GPUs together) are null where Ray does not know them, or it has no GPU.
    """
    return await in_thread(_shown, request.app.state.desk)


@router.post("/v1/fleet/scale", responses=answered_with(FLEET))
async def scale(body: ScaleBody, request: Request, caller: Caller = may_own) -> dict[str, Any]:
    """Change how many workers there may be, and end a drain."""
    stated = {"min_workers": body.min, "max_workers": body.max, "crew_size": body.crew_size}
    changes = {name: value for name, value in stated.items() if value is not None}
    return await in_thread(_changed, request.app.state.desk, changes | {"draining": False})


@router.post("/v1/fleet/drain", responses=answered_with(FLEET))
async def drain(request: Request, caller: Caller = may_own) -> dict[str, Any]:
    """Let all workers save what they have and go; jobs wait until the fleet is scaled."""
    return await in_thread(_drained, request.app.state.desk)


def _drained(desk: Desk) -> dict[str, Any]:
    note = desk.learning.stored_fleet.drain()
    return _shown(desk) | {"changed": note is None, "note": note}


def _changed(desk: Desk, changes: dict[str, Any]) -> dict[str, Any]:
    desk.learning.stored_fleet.change(changes)
    return _shown(desk)


def _shown(desk: Desk) -> dict[str, Any]:
    learning = desk.learning
    stored = learning.stored_fleet
    status = stored.status()
    jobs, driver = status.get("jobs", []), driver_facts(learning)
    nodes = status.get("nodes", []) if driver["running"] else []
    address = learning.settings.ray_address
    return {
        "object": "fleet",
        "fleet": stored.fleet,
        "updated": status.get("updated"),
        "driver": driver,
        "settings": stored.settings().model_dump(),
        "queue": {name: status.get(name, 0) for name in ("waiting", "leased", "expiries")},
        "concepts_per_hour": _concepts_per_hour(learning, jobs),
        "jobs": jobs,
        "resources": {"cpus": _sum(nodes, "cpus"), "gpus": _sum(nodes, "gpus")} if nodes else None,
        "nodes": nodes,
        "crews": status.get("crews", []),
        "workers": status.get("workers", []),
        "failures": list(_failures(learning)),
        "links": {
            "ray_dashboard": desk.config.ray_dashboard_url or address,
            "grafana": desk.config.grafana_url,
        },
    }


def _sum(nodes: list[dict[str, Any]], of: str) -> float:
    return float(sum(node.get(of, 0.0) for node in nodes))


def _concepts_per_hour(learning: Learning, jobs: list[str]) -> float | None:
    paces = [status.concepts_per_hour for job in jobs if (status := learning.job_store.status(job)) is not None]
    known = [pace for pace in paces if pace is not None]
    return sum(known) if known else None


def _failures(learning: Learning) -> Iterator[dict[str, Any]]:
    """What failed last, and what to do about it."""
    for job_id, fingerprint, when in learning.job_store.last_failures(_MAX_FAILURES):
        found = learning.job_store.failure(job_id, fingerprint)
        if found is not None:
            told = {"name": found.name, "fingerprint": fingerprint, **job_json.failure(found)}
            yield told | {"when": when.isoformat(timespec="seconds")}
