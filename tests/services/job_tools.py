"""A service on the real store whose fleet only notes that it was wanted, and pictures and manifests to send to it."""

import io
from typing import Any

import httpx
import numpy as np
from PIL import Image

from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from textinv.jobs import ConceptStatus, JobRecord, JobStatus, JobStore
from textinv.jobs.fleet_driver import DriverFacts
from textinv.settings import StoreSettings
from textinv.store.protocol import ObjectStore

FLEET = "fleet-of-tests"


class IdleFleet:
    """A fleet without workers; counts how often it was asked for a driver."""

    def __init__(self) -> None:
        self.name = FLEET
        self.num_asked = 0

    def ensure(self) -> bool:
        self.num_asked += 1
        return self.num_asked == 1

    def driver(self) -> DriverFacts:
        return DriverFacts("running" if self.num_asked else "stopped")


def open_desk(store: ObjectStore, store_settings: StoreSettings | None = None, **config: Any) -> Desk:
    """A desk whose base model is `colours`, 64 pixels wide."""
    chosen = ServiceConfig(**{"base_model": "colours", "keys": False, "store": store_settings, **config})
    return Desk(chosen, ColourStudio(store), store, IdleFleet())


def photo(seed: int, width: int = 96, height: int = 80, form: str = "PNG", **saving: Any) -> bytes:
    """A picture with smooth shapes."""
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, form, **saving)
    return file.getvalue()


async def upload(client: httpx.AsyncClient, *seeds: int) -> list[str]:
    """Upload pictures and return their ids."""
    replies = [await client.post("/v1/images", content=photo(seed)) for seed in seeds]
    return [reply.json()["id"] for reply in replies]


def manifest_of(pictures: list[str], *names: str, **fields: Any) -> dict[str, Any]:
    """A manifest of concepts with these pictures."""
    concepts = [{"name": name, "images": pictures, "class_word": "fox", **fields} for name in names]
    return {"base_model": "colours", "name": "small", "concepts": concepts}


async def submit(client: httpx.AsyncClient, *names: str, **fields: Any) -> dict[str, Any]:
    """Submit a job of these concepts and return the answer."""
    pictures = await upload(client, 1, 2, 3)
    reply = await client.post("/v1/jobs", json=manifest_of(pictures, *names, **fields))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def report(
    store: ObjectStore,
    record: JobRecord,
    state: str = "running",
    concept_state: str = "running",
    num_waiting: int = 64,
    **concept: Any,
) -> JobStatus:
    """Say, as a driver does, how far the first concept of a job is; of the others, that wait, so many are named."""
    job_store = JobStore(store)
    spec, *others = job_store.specs(record)
    first = ConceptStatus(
        name=spec.name, fingerprint=spec.fingerprint, state=concept_state, **{"max_steps": spec.max_steps, **concept}
    )
    rest = [ConceptStatus(name=one.name, fingerprint=one.fingerprint, state="waiting") for one in others[:num_waiting]]
    counts = {first.state: 1} if not others else {first.state: 1, "waiting": len(others)}
    status = JobStatus(
        job_id=record.id,
        name=record.name,
        generation=record.generation,
        state=state,
        updated="2026-01-01T00:00:00+00:00",
        concepts=(first, *rest),
        **counts,
    )
    job_store.write_status(status)
    return status
