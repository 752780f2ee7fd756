"""A store that takes requests and never answers: who needs nothing of it is drawn as ever."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from services.access.keys import KeyRing
from services.drawing.engine_studio import EngineStudio
from services.drawing.studio import Drawn
from tests.services.conftest import client_of
from tests.services.job_tools import open_desk
from tests.services.test_engine_studio import publish_word
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.settings import StoreSettings
from textinv.store import S3Store
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectInfo, StoredObject

pytestmark = pytest.mark.anyio
# More than any number of threads that might wait for the store.
NUM_COLD = 100
DRAW = "/v1/images/generations"
PATIENCE_S = 20.0


class HangingStore(MemoryStore):
    """A store whose answers to reads wait for a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def get(self, key: str) -> StoredObject:
        self.gate.wait()
        return super().get(key)

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        self.gate.wait()
        return super().get_if_changed(key, etag)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.gate.wait()
        return super().list(prefix)


@pytest.fixture(scope="module")
def model(emoji: BaseModel) -> BaseModel:
    return emoji


@pytest.fixture
def store(model: BaseModel) -> Iterator[HangingStore]:
    store = HangingStore()
    for name in ("warm", "cold"):
        publish_word(store, model, name, "frog")
    yield store
    store.gate.set()


def _studio(model: BaseModel, cache: EmbeddingCache) -> EngineStudio:
    studio = EngineStudio(Engine(model, max_batch=4), cache)
    studio.start()
    return studio


async def _draw(studio: EngineStudio, prompt: str) -> Drawn:
    events = [event async for event in studio.draw(GenerateRequest(prompt, num_inference_steps=1))]
    assert isinstance(events[-1], Drawn)
    return events[-1]


async def test_who_needs_nothing_of_the_store_does_not_wait_behind_those_who_do(
    model: BaseModel, store: HangingStore
) -> None:
    studio = _studio(model, EmbeddingCache(Registry(store), revalidate_s=3600))
    await _draw(studio, "a <warm>")
    store.gate.clear()
    cold = [asyncio.create_task(_draw(studio, f"a <cold{'' if k == 0 else k}>")) for k in range(NUM_COLD)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(_draw(studio, "a frog"), _draw(studio, "a <warm>"), _draw(studio, "a <warm@1>"))
    assert [task.exception() for task in cold if task.done()] == []
    store.gate.set()
    async with asyncio.timeout(PATIENCE_S):
        assert await cold[0]
        await asyncio.gather(*cold, return_exceptions=True)
    studio.close()


async def test_a_known_concept_is_drawn_though_the_store_does_not_say_whether_it_is_still_the_same(
    model: BaseModel, store: HangingStore
) -> None:
    studio = _studio(model, EmbeddingCache(Registry(store), revalidate_s=0.0, max_revalidation_s=0.2))
    await _draw(studio, "a <warm>")
    store.gate.clear()
    async with asyncio.timeout(PATIENCE_S):
        for _ in range(3):
            await _draw(studio, "a <warm>")
    store.gate.set()
    studio.close()


async def test_one_who_leaves_does_not_take_a_fetch_away_from_others(model: BaseModel, store: HangingStore) -> None:
    studio = _studio(model, EmbeddingCache(Registry(store)))
    store.gate.clear()
    leaver, stayer = (asyncio.create_task(_draw(studio, "a <cold>")) for _ in range(2))
    await asyncio.sleep(0.1)
    leaver.cancel()
    await asyncio.sleep(0)
    store.gate.set()
    async with asyncio.timeout(PATIENCE_S):
        assert await stayer
    assert leaver.cancelled()
    studio.close()


async def test_a_draw_with_a_remembered_key_does_not_wait_behind_look_ups_that_hang() -> None:
    store = HangingStore()
    desk = open_desk(store, keys=True)
    text, key = KeyRing(store).create("me", "generate")
    now = [0.0]
    desk.key_ring = KeyRing(store, clock=lambda: now[0])
    asked, mine = {"json": {"prompt": "a"}}, {"authorization": f"Bearer {text}"}
    async with client_of(desk) as client, client_of(desk, "10.0.0.9") as others:
        assert (await client.post(DRAW, **asked, headers=mine)).status_code == 200
        store.gate.clear()
        strangers = [
            asyncio.create_task(
                others.post(DRAW, **asked, headers={"authorization": f"Bearer ti_{number:012x}_{'s' * 43}"})
            )
            for number in range(NUM_COLD)
        ]
        await asyncio.sleep(0.2)
        for age_s in (1.0, 3.0, 5.5, 60.0):  # read anew from half of five seconds on, which hangs
            now[0] = age_s
            begun = time.monotonic()
            async with asyncio.timeout(PATIENCE_S):
                assert (await client.post(DRAW, **asked, headers=mine)).status_code == 200
            assert time.monotonic() - begun < 1.0, age_s
        store.gate.set()
        async with asyncio.timeout(PATIENCE_S):
            assert {reply.status_code for reply in await asyncio.gather(*strangers)} <= {401, 429}
        KeyRing(store).revoke(key.id)
        now[0] = 70.0
        assert (await client.post(DRAW, **asked, headers=mine)).status_code == 401


def test_a_client_of_a_serving_path_gives_a_hanging_server_up_after_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = StoreSettings(
            endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}", access_key="a", secret_key=SecretStr("b")
        )
        store = S3Store(settings, reads_only=True, answers_soon=True)
        config = store._client.meta.config
        assert config.read_timeout * config.retries["total_max_attempts"] <= 20
        assert config.connect_timeout <= 2
