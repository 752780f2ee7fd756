"""The studio that draws with the real engine on a small base, behind the real routes."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio, open_studio
from services.drawing.meters import readings
from services.drawing.studio import Begun, Drawn
from tests.models.tiny_bases import make_base
from tests.services.conftest import client_of
from tests.services.pictures import base64_of, pixels_of, png
from textinv.embedding import Embedding
from textinv.errors import OverloadedError, SettingsError, StoreUnreachableError
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.generation.request import GenerateRequest, Ticket
from textinv.generation.waiting_line import EngineLimits
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.settings import StoreSettings
from textinv.store.memory import MemoryStore
from textinv.store.protocol import StoredObject

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"
FEW = {"num_inference_steps": 2, "seed": 1}
# Quickly measured; the native size goes by its area.
SMALL = (32, 32)


class UnsteadyStore(MemoryStore):
    """A store that can be unplugged."""

    plugged_in = True

    def get(self, key: str) -> StoredObject:
        if not self.plugged_in:
            raise StoreUnreachableError("the store was unplugged")
        return super().get(key)


@pytest.fixture(scope="module")
def model(small: BaseModel) -> BaseModel:
    return small


@pytest.fixture
def store() -> UnsteadyStore:
    return UnsteadyStore()


@pytest.fixture
def real_studio(model: BaseModel, store: UnsteadyStore) -> Iterator[EngineStudio]:
    engine = Engine(model, max_batch=4, limits=EngineLimits(max_waiting=6))
    studio = EngineStudio(engine, EmbeddingCache(Registry(store), revalidate_s=0.0))
    studio.start()
    yield studio
    studio.close()


@pytest.fixture
def real_desk(real_studio: EngineStudio, store: UnsteadyStore) -> Desk:
    return Desk(ServiceConfig(keys=False), real_studio, store)


def publish_word(
    store: MemoryStore, model: BaseModel, name: str, word: str, revision: str | None = None, width: int = 0
) -> None:
    """Publish the base's own row of a word as a concept."""
    row = torch.ones(1, width) if width else model.token_rows("text_encoder", word)
    Registry(store).publish(
        name,
        Embedding({"text_encoder": row}),
        {},
        fingerprint=f"{name}-{word}",
        base_model="emoji" if revision is None else "another-base",
        base_revision=revision or model.revision,
    )


async def test_concepts_of_different_callers_are_drawn_side_by_side_and_each_as_if_alone(
    real_desk: Desk, model: BaseModel, store: UnsteadyStore
) -> None:
    for word in ("frog", "apple"):
        publish_word(store, model, f"my-{word}", word)
    async with client_of(real_desk) as client:
        bodies = [{"prompt": f"a <my-{word}>", **FEW} for word in ("frog", "apple", "frog")]
        together = await asyncio.gather(*(client.post(URL, json=body) for body in bodies))
        alone = await client.post(URL, json={"prompt": "a frog", **FEW})
    pictures = [pixels_of(reply.json()["data"][0]["b64_json"]).astype(int) for reply in (*together, alone)]
    assert abs(pictures[0] - pictures[3]).max() <= 1
    assert abs(pictures[0] - pictures[2]).max() <= 1
    assert abs(pictures[0] - pictures[1]).max() > 1


async def test_unknown_foreign_and_misshapen_concepts_fail_alone_while_others_are_drawn(
    real_desk: Desk, model: BaseModel, store: UnsteadyStore
) -> None:
    publish_word(store, model, "good", "frog")
    publish_word(store, model, "foreign", "frog", revision="another-revision")
    publish_word(store, model, "misshapen", "frog", width=5)
    async with client_of(real_desk) as client:
        names = ("good", "foreign", "misshapen", "absent")
        replies = await asyncio.gather(*(client.post(URL, json={"prompt": f"<{name}>", **FEW}) for name in names))
    assert [reply.status_code for reply in replies] == [200, 400, 400, 400]
    said = replies[1].json()["error"]
    assert said["code"] == "other_base_model"
    assert "another-base" in said["message"]
    assert model.id in said["message"]


async def test_without_the_store_known_concepts_are_drawn_on_and_cold_ones_work_again_afterwards(
    real_desk: Desk, model: BaseModel, store: UnsteadyStore
) -> None:
    publish_word(store, model, "warm", "frog")
    publish_word(store, model, "cold", "apple")
    async with client_of(real_desk) as client:
        assert (await client.post(URL, json={"prompt": "<warm>", **FEW})).status_code == 200
        store.plugged_in = False
        cold = await client.post(URL, json={"prompt": "<cold>", **FEW})
        assert cold.status_code == 503
        assert cold.json()["error"]["code"] == "store_unreachable"
        assert "retry-after" in cold.headers
        assert (await client.post(URL, json={"prompt": "a frog", **FEW})).status_code == 200
        store.plugged_in = True
        assert (await client.post(URL, json={"prompt": "<cold>", **FEW})).status_code == 200


async def test_more_than_may_wait_is_sent_away_at_once_with_retry_after(real_desk: Desk) -> None:
    async with client_of(real_desk) as client:
        slow = {"prompt": "a frog", "num_inference_steps": 10, "n": 4}
        replies = await asyncio.gather(*(client.post(URL, json=slow) for _ in range(5)))
    statuses = sorted(reply.status_code for reply in replies)
    assert statuses[0] == 200
    assert statuses[-1] == 429
    refused = next(reply for reply in replies if reply.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1


async def test_a_request_that_is_left_costs_no_more_steps(real_studio: EngineStudio) -> None:
    events = real_studio.draw(GenerateRequest("a frog", num_inference_steps=100))
    assert isinstance(await anext(events), Begun)
    await asyncio.sleep(0.2)
    await events.aclose()
    await asyncio.sleep(0.3)
    steps = readings(real_studio)["textinv_steps_total"]
    await asyncio.sleep(0.3)
    assert readings(real_studio)["textinv_steps_total"] == steps < 100
    assert readings(real_studio)["textinv_active_images"] == 0
    last = [event async for event in real_studio.draw(GenerateRequest("a frog", num_inference_steps=1))][-1]
    assert isinstance(last, Drawn)


async def test_a_request_that_is_left_before_it_is_in_the_line_is_not_drawn(
    real_studio: EngineStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    enter = Engine.enter

    def slowly(engine: Engine, request: GenerateRequest, mounts: Any) -> Ticket:
        began.set()
        go_on.wait(10)
        return enter(engine, request, mounts)

    monkeypatch.setattr(Engine, "enter", slowly)
    asking = asyncio.ensure_future(anext(real_studio.draw(GenerateRequest("a frog", num_inference_steps=100))))
    await asyncio.to_thread(began.wait, 10)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    go_on.set()
    await asyncio.sleep(0.5)
    assert readings(real_studio)["textinv_steps_total"] < 10
    assert readings(real_studio)["textinv_active_images"] == readings(real_studio)["textinv_waiting_images"] == 0


async def test_who_has_room_is_not_sent_away_after_all(
    real_studio: EngineStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_away, enter = threading.Event(), Engine.enter

    def later(engine: Engine, request: GenerateRequest, mounts: Any) -> Ticket:
        assert sent_away.wait(30)
        return enter(engine, request, mounts)

    monkeypatch.setattr(Engine, "enter", later)
    full = GenerateRequest("a frog", num_inference_steps=1, num_images=3)
    draws = [real_studio.draw(full) for _ in range(3)]
    first, second, third = (asyncio.ensure_future(anext(draw)) for draw in draws)
    with pytest.raises(OverloadedError):
        await third
    sent_away.set()
    assert [type(one) for one in await asyncio.gather(first, second)] == [Begun, Begun]
    for draw in draws:
        await draw.aclose()


async def test_a1111_weights_words_and_edits_a_picture(real_desk: Desk, model: BaseModel, store: UnsteadyStore) -> None:
    publish_word(store, model, "my-frog", "frog")
    sent = {"prompt": "a (my-frog:1.3), <lora:x:1>", "seed": 1, "steps": 2}
    async with client_of(real_desk) as client:
        drawn = (await client.post("/sdapi/v1/txt2img", json=sent)).json()
        plain = (await client.post("/sdapi/v1/txt2img", json=sent | {"prompt": "a my-frog, <lora:x:1>"})).json()
        edit = await client.post("/sdapi/v1/img2img", json=sent | {"init_images": [base64_of(png(64, 64))]})
    assert abs(pixels_of(drawn["images"][0]).astype(int) - pixels_of(plain["images"][0]).astype(int)).max() > 1
    assert edit.status_code == 200


async def test_readings_count_what_was_drawn(real_desk: Desk, real_studio: EngineStudio) -> None:
    transport_client = client_of(real_desk)
    async with transport_client as client:
        reply: httpx.Response = await client.post(URL, json={"prompt": "a frog", "n": 2, **FEW})
    assert reply.status_code == 200
    deadline = time.monotonic() + 10
    while (found := readings(real_studio))["textinv_images_total"] < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.01)  # the engine counts a step when it is over, which is after its pictures are given out
    assert found["textinv_images_total"] == 2
    assert found["textinv_image_steps_total"] == 4
    assert found["textinv_batch_limit"] == 4


@pytest.mark.parametrize("drawn_before", [True, False])
async def test_a_deadline_that_nobody_could_meet_is_a_400_at_once_and_one_that_can_be_met_is_drawn(
    real_desk: Desk, real_studio: EngineStudio, drawn_before: bool
) -> None:
    picture = {"images": [{"image_url": f"data:image/png;base64,{base64_of(png())}"}], "strength": 1}
    async with client_of(real_desk) as client:
        if drawn_before:  # the pace is known from now on
            assert (await client.post(URL, json={"prompt": "a", **FEW})).status_code == 200
        else:
            real_studio.engine.warm_up([SMALL])
        late = {"prompt": "a", "num_inference_steps": 150, "n": 4, "deadline_s": 0.01}
        for path, body in ((URL, late), (URL, late | {"stream": True}), ("/v1/images/edits", late | picture)):
            reply = await client.post(path, json=body)
            assert reply.status_code == 400
            assert reply.json()["error"]["param"] == "deadline_s"
            assert "retry-after" not in reply.headers
        assert readings(real_studio)["textinv_image_steps_total"] <= FEW["num_inference_steps"]
        assert (await client.post(URL, json={"prompt": "a", **FEW, "deadline_s": 600})).status_code == 200


async def test_a_deadline_that_only_the_queue_makes_too_short_is_a_429_with_retry_after(
    real_desk: Desk, real_studio: EngineStudio, model: BaseModel
) -> None:
    engine = real_studio.engine
    engine.warm_up([SMALL])
    step_s = engine.step_times.known_s[SMALL][1] * model.native_px**2 / (SMALL[0] * SMALL[1])
    slow = {"prompt": "a", "num_inference_steps": 150, "n": 5}
    short = {"prompt": "a", **FEW, "deadline_s": 30 * step_s}
    async with client_of(real_desk) as client:
        before = asyncio.create_task(client.post(URL, json=slow))
        while not engine.stats.active:
            await asyncio.sleep(0.01)
        for body in (short, short | {"stream": True}):
            reply = await client.post(URL, json=body)
            assert reply.status_code == 429
            assert reply.json()["error"]["code"] == "deadline"
            assert int(reply.headers["retry-after"]) >= 1
        before.cancel()
        await asyncio.gather(before, return_exceptions=True)


async def test_more_pictures_than_may_wait_are_a_400_that_names_the_limit(real_desk: Desk) -> None:
    async with client_of(real_desk) as client:
        reply = await client.post(URL, json={"prompt": "a", **FEW, "n": 7})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "n"
    assert "6 at most" in reply.json()["error"]["message"]


async def test_a_removed_concept_is_a_400_by_its_version_too(
    real_desk: Desk, model: BaseModel, store: UnsteadyStore
) -> None:
    publish_word(store, model, "my-frog", "frog")
    async with client_of(real_desk) as client:
        asked = {"prompt": "a <my-frog@1>", **FEW}
        assert (await client.post(URL, json=asked)).status_code == 200
        assert (await client.delete("/v1/concepts/my-frog")).status_code == 200
        reply = await client.post(URL, json=asked)
    assert reply.status_code == 400
    assert reply.json()["error"]["code"] == "unknown_concept"


@pytest.mark.store
async def test_sizes_that_the_operator_names_are_measured_at_start_up(
    s3_settings: StoreSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("textinv.generation.measuring._BUDGET_S", 0.0)  # as on a slow machine: two turns, not eight
    base = str(make_base("sd1", tmp_path))
    config = ServiceConfig(base_model=base, store=s3_settings, keys=False, device="cpu", warm_sizes=("64x32",))
    studio = await asyncio.to_thread(open_studio, config)
    try:
        native_px = studio.engine.model.native_px
        assert set(studio.engine.step_times.known_s) == {(native_px, native_px), (32, 64)}
    finally:
        studio.close()
    with pytest.raises(SettingsError, match=r"warm_sizes: 63x64: .*multiples"):
        await asyncio.to_thread(open_studio, config.model_copy(update={"warm_sizes": ("63x64",)}))


@pytest.mark.parametrize("deadline_s", [0, -1, 1e9, "soon"])
async def test_a_deadline_out_of_bounds_is_a_400_that_names_it(real_desk: Desk, deadline_s: object) -> None:
    async with client_of(real_desk) as client:
        reply = await client.post(URL, json={"prompt": "a", "deadline_s": deadline_s})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "deadline_s"
