"""A service in the process of the tests: real routes, a real engine on the demo base, a fleet that never works."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from services.api.app import make_app
from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio
from services.drawing.guesser import Guesser
from tests.services.job_tools import IdleFleet, photo
from tests.services.served import free_port
from textinv.embedding import Embedding
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.generation.waiting_line import EngineLimits
from textinv.jobs import JobRecord, JobStore
from textinv.jobs.fleet_driver import Fleet
from textinv.jobs.previews import write_preview
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store.protocol import ObjectStore

HOSTILE = "<img src=x onerror=\"document.title='taken over'\"><script>document.title='taken over'</script>"


@contextmanager
def running(
    store: ObjectStore,
    model: BaseModel,
    fleet: Fleet | None = None,
    max_batch: int = 4,
    max_waiting: int = 256,
    **config: Any,
) -> Iterator[str]:
    """Serve the API and the page; the URL."""
    engine = Engine(model, max_batch=max_batch, limits=EngineLimits(max_waiting=max_waiting))
    cache = EmbeddingCache(Registry(store), 2**24, revalidate_s=0.0)
    studio = EngineStudio(engine, cache, Guesser(model, store))
    studio.start()
    app = make_app(Desk(ServiceConfig(**{"keys": False, **config}), studio, store, fleet or IdleFleet()))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)
    studio.close()


def submit(url: str, store: ObjectStore, *names: str, job: str) -> JobRecord:
    """Submit concepts that have three pictures each, and draw a preview of the first one."""
    ids = [httpx.post(f"{url}/v1/images", content=photo(seed)).json()["id"] for seed in (1, 2, 3)]
    concepts = [{"name": name, "images": ids, "class_word": "fox"} for name in names]
    reply = httpx.post(f"{url}/v1/jobs", json={"base_model": "emoji", "name": job, "concepts": concepts}, timeout=30)
    job_store = JobStore(store)
    record = job_store.load(reply.json()["id"])
    first = next(iter(job_store.spec_sheets(record)))[0]
    write_preview(store, first.fingerprint, 50, photo(4, form="JPEG"))
    return record


def publish(
    store: ObjectStore, model: BaseModel, name: str, word: str, kind: str, fidelity: float = 0.81, base: str = ""
) -> None:
    """Publish a concept that draws as a word does, with a record in which people wrote markup."""
    rows = {encoder: model.token_rows(encoder, word).float().cpu()[:1] for encoder in model.encoder_names}
    record = {
        "spec": {"kind": kind, "class_word": word, "max_steps": 60, "init": HOSTILE, "pictures": []},
        "stopped": "converged",
        "steps": 40,
        "kept_step": 35,
        "sample_passes": 160,
        "seconds": 9.5,
        "trace": [{"step": step, "loss": 0.3 / (1 + step / 20)} for step in range(0, 45, 5)],
        "evaluation": {"encoders": [{"fidelity": fidelity, "real_to_real": 0.9, "editability": 0.24}]},
        "note": HOSTILE,
    }
    Registry(store).publish(
        name,
        Embedding(rows),
        record,
        fingerprint=f"{name}-{word}",
        base_model=base or model.id,
        base_revision=model.revision,
    )
