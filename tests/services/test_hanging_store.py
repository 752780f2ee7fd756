"""A store that takes requests and never answers: who needs nothing of it is drawn as ever."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from services.drawing.engine_studio import EngineStudio
from services.drawing.studio import Drawn
from tests.services.test_engine_studio import publish_word
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectInfo, StoredObject

pytestmark = pytest.mark.anyio
# More than any number of threads that might wait for the store.
NUM_COLD = 100
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
    assert not any(task.done() for task in cold)
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
