"""When a studio is worth sending requests to: what callers did wrong says nothing of its device."""

import pytest
import torch
from torch import Tensor

from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio
from tests.generation.frail_model import FrailDevice, no_trouble
from tests.services.conftest import client_of
from textinv.embedding import Embedding
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.models import load_base_model
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"
NUM_IN_A_ROW = 4


@pytest.fixture(scope="module")
def device() -> FrailDevice:
    return FrailDevice(load_base_model("emoji", device="cpu", dtype="float32"))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


def _break_down(latents_BCHW: Tensor) -> None:
    raise RuntimeError("CUDA error: an illegal memory access was encountered")


async def test_pictures_that_run_away_are_the_callers_mistake_and_not_the_devices(
    device: FrailDevice, store: MemoryStore
) -> None:
    model = device.as_model
    huge = Embedding({"text_encoder": torch.full((1, 192), 3e38) * torch.arange(192).remainder(2).sub(0.5)})
    Registry(store).publish("huge", huge, {}, fingerprint="huge", base_model=model.id, base_revision=model.revision)
    studio = EngineStudio(Engine(model, max_batch=4), EmbeddingCache(Registry(store)))
    studio.start()
    async with client_of(Desk(ServiceConfig(keys=False), studio, store)) as client:
        for _ in range(NUM_IN_A_ROW):
            reply = await client.post(URL, json={"prompt": "a <huge>", "num_inference_steps": 1})
            assert reply.status_code == 400
            assert reply.json()["error"]["param"] == "guidance_scale"
            assert "not finite" in reply.json()["error"]["message"]
    assert studio.healthy
    studio.close()


async def test_a_device_that_fails_every_request_is_given_up_and_one_that_recovers_is_not(
    device: FrailDevice, store: MemoryStore
) -> None:
    studio = EngineStudio(Engine(device.as_model, max_batch=4), EmbeddingCache(Registry(store)))
    studio.start()
    asked = {"prompt": "a frog", "num_inference_steps": 1}
    async with client_of(Desk(ServiceConfig(keys=False), studio, store)) as client:
        for trouble, status in ((_break_down, 503), (_break_down, 503), (no_trouble, 200), (_break_down, 503)):
            device.before_predict = trouble
            assert (await client.post(URL, json=asked)).status_code == status
        assert studio.healthy
        for _ in range(2):
            assert (await client.post(URL, json=asked)).status_code == 503
    assert not studio.healthy
    studio.close()
