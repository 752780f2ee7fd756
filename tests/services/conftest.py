"""A service in this process: real routes, a real registry over a store in memory, and a studio that draws colours."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

import httpx
import pytest
import torch
from fastapi import FastAPI

from services.access.front_usage import AskUsage
from services.access.usage import Usage
from services.api.app import make_app
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from textinv.embedding import Embedding
from textinv.registry import PublishedVersion, Registry
from textinv.registry.guesses import GuessFile, GuessRecord, LearnedFrom, publish_guess
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def studio(store: MemoryStore) -> Iterator[ColourStudio]:
    studio = ColourStudio(store)
    yield studio
    studio.cache.close()


@pytest.fixture
def config() -> ServiceConfig:
    return ServiceConfig(base_model="colours", keys=False)


@pytest.fixture
def desk(config: ServiceConfig, studio: ColourStudio, store: MemoryStore) -> Desk:
    return Desk(config, studio, store)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


def asking(usage: Usage) -> AskUsage:
    """The way of several fronts in this process to what they share."""
    return lambda method, *arguments: getattr(usage, method)(*arguments)


def client_of(desk: Desk, address: str = "127.0.0.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(_app_of(desk), raise_app_exceptions=False, client=(address, 40000))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


_ROUTERS: dict[int, Any] = {}


def _app_of(desk: Desk) -> FastAPI:
    """The application; FastAPI spends 50 ms on what it makes of the routers, the same for each, and does it once."""
    app = make_app(desk)
    for place, route in enumerate(app.router.routes):
        if hasattr(route, "original_router"):
            app.router.routes[place] = _ROUTERS.setdefault(place, route)
    return app


def publish_guess_for(store: ObjectStore, base_revision: str = "c0ffee", shares: Sequence[LearnedFrom] = ()) -> str:
    """Publish a guess for the base model of the studio that draws colours, which never opens it; its digest."""
    record = GuessRecord(
        base_model="colours",
        base_revision=base_revision,
        encoder="own CLIP",
        shape={},
        kinds=("object",),
        concepts=10,
        source="a test",
        steps=0,
        sample_passes=0,
        made="2026-11-30T00:00:00Z",
        shares=tuple(shares),
    )
    guess = GuessFile(record, b"of no network")
    publish_guess(store, guess)
    return guess.digest


def publish(
    store: ObjectStore,
    name: str,
    value: float = 1.0,
    base_revision: str = "c0ffee",
    files: Mapping[str, bytes] | None = None,
) -> PublishedVersion:
    """Publish a concept whose rows are all `value`, with previews and other `files`."""
    return Registry(store).publish(
        name,
        Embedding({"text_encoder": torch.full((2, 8), value)}),
        {"steps": 100, "why": "converged"},
        fingerprint=f"{name}-{value}",
        base_model="colours",
        base_revision=base_revision,
        files=files or {},
    )
