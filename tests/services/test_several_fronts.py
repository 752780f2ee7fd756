"""Several fronts of one service: what a key may use, progress and interrupts hold across all of them."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator

import httpx
import pytest
from PIL import Image

from services.access.front_usage import TELL_EVERY_S, FrontUsage
from services.access.in_flight import InFlight
from services.access.keys import KeyRing
from services.access.usage import Usage
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import asking, client_of
from textinv.errors import NotReadyError
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
URL, TXT2IMG = "/v1/images/generations", "/sdapi/v1/txt2img"


class UnsteadyUsage(Usage):
    """A usage of all fronts that can be lost."""

    there = True
    slow_s = 0.0

    async def enter(self, front: str, place: str, key: object) -> None:
        await asyncio.sleep(self.slow_s)
        if not self.there:
            raise NotReadyError("the usage is lost")
        await super().enter(front, place, key)  # type: ignore[arg-type]


@pytest.fixture
def usage() -> UnsteadyUsage:
    return UnsteadyUsage()


@pytest.fixture
def config() -> ServiceConfig:
    return ServiceConfig(base_model="colours", keys=False, num_fronts=2)


@pytest.fixture
async def fronts(
    config: ServiceConfig, studio: ColourStudio, store: MemoryStore, usage: UnsteadyUsage
) -> AsyncIterator[list[httpx.AsyncClient]]:
    clients = [client_of(Desk(config, studio, store, shared=asking(usage))) for _ in range(2)]
    yield clients
    await asyncio.sleep(2 * TELL_EVERY_S)
    for one in clients:
        await one.aclose()


class TestWithKeys:
    @pytest.fixture
    def config(self) -> ServiceConfig:
        return ServiceConfig(base_model="colours", keys=True, num_fronts=2)

    async def test_requests_of_a_minute_are_counted_once_for_all_fronts(
        self, fronts: list[httpx.AsyncClient], store: MemoryStore
    ) -> None:
        text, _ = KeyRing(store).create("page", "generate", per_minute=4)
        headers = {"authorization": f"Bearer {text}"}
        statuses = [
            (await fronts[number % 2].post(URL, json={"prompt": "a"}, headers=headers)).status_code
            for number in range(6)
        ]
        assert statuses == [200] * 4 + [429] * 2

    async def test_places_are_held_across_fronts_and_given_back(
        self, fronts: list[httpx.AsyncClient], store: MemoryStore, studio: ColourStudio
    ) -> None:
        text, _ = KeyRing(store).create("page", "generate", concurrency=2)
        headers = {"authorization": f"Bearer {text}"}
        studio.step_s = 0.02
        for _ in range(2):
            sent = {"prompt": "a", "num_inference_steps": 20}
            asked = [asyncio.create_task(fronts[k % 2].post(URL, json=sent, headers=headers)) for k in range(4)]
            statuses = sorted([(await one).status_code for one in asked])
            assert statuses == [200, 200, 429, 429]

    async def test_without_the_others_a_front_counts_for_itself(
        self, fronts: list[httpx.AsyncClient], store: MemoryStore, studio: ColourStudio, usage: UnsteadyUsage
    ) -> None:
        text, _ = KeyRing(store).create("page", "generate", concurrency=1)
        headers = {"authorization": f"Bearer {text}"}
        usage.there = False
        studio.step_s = 0.02
        sent = {"prompt": "a", "num_inference_steps": 20}
        asked = [asyncio.create_task(fronts[k % 2].post(URL, json=sent, headers=headers)) for k in range(4)]
        assert sorted([(await one).status_code for one in asked]) == [200, 200, 429, 429]


async def test_progress_and_interrupts_reach_the_front_that_draws(
    fronts: list[httpx.AsyncClient], studio: ColourStudio
) -> None:
    here, there = fronts
    studio.step_s = 0.02
    drawing = asyncio.create_task(here.post(TXT2IMG, json={"prompt": "a", "steps": 150}))
    progress = 0.0
    async with asyncio.timeout(5):
        while progress == 0:
            await asyncio.sleep(0.05)
            progress = (await there.get("/sdapi/v1/progress")).json()["progress"]
    assert 0 < progress < 1
    await there.post("/sdapi/v1/interrupt")
    async with asyncio.timeout(1.5):
        reply = await drawing
    assert reply.json()["images"] == []
    assert studio.num_left == 1
    again = await here.post(TXT2IMG, json={"prompt": "a", "steps": 20})
    assert len(again.json()["images"]) == 1
    await asyncio.sleep(2 * TELL_EVERY_S)
    assert (await there.get("/sdapi/v1/progress")).json()["state"]["job_count"] == 0


async def test_who_looks_at_progress_sees_previews_of_the_next_request_on_any_front(
    fronts: list[httpx.AsyncClient], studio: ColourStudio
) -> None:
    here, there = fronts
    studio.step_s = 0.02
    await there.get("/sdapi/v1/progress")
    drawing = asyncio.create_task(here.post(TXT2IMG, json={"prompt": "a", "steps": 60}))
    seen = None
    async with asyncio.timeout(5):
        while seen is None:
            await asyncio.sleep(0.05)
            seen = (await there.get("/sdapi/v1/progress")).json()["current_image"]
    assert Image.open(io.BytesIO(base64.b64decode(seen))).size == (64, 64)
    skipped = await there.get("/sdapi/v1/progress", params={"skip_current_image": True})
    assert skipped.json()["current_image"] is None
    assert skipped.json()["progress"] > 0
    assert (await drawing).status_code == 200


async def test_a_task_of_one_front_is_seen_from_the_other_until_after_its_end(
    fronts: list[httpx.AsyncClient], studio: ColourStudio
) -> None:
    here, there = fronts
    studio.step_s = 0.02

    async def told() -> dict[str, object]:
        found: dict[str, object] = (await there.post("/internal/progress", json={"id_task": "mine"})).json()
        return found

    drawing = asyncio.create_task(here.post(TXT2IMG, json={"prompt": "a", "steps": 60, "force_task_id": "mine"}))
    async with asyncio.timeout(5):
        while not (await told())["active"]:
            await asyncio.sleep(0.05)
    assert (await drawing).status_code == 200
    assert (await told())["completed"]


async def test_who_never_looks_costs_no_previews(client: httpx.AsyncClient, studio: ColourStudio) -> None:
    await client.get("/sdapi/v1/progress", params={"skip_current_image": True})
    assert (await client.post(TXT2IMG, json={"prompt": "a", "steps": 8})).status_code == 200
    assert studio.num_sketches == 0
    await client.get("/sdapi/v1/progress")
    assert (await client.post(TXT2IMG, json={"prompt": "a", "steps": 8})).status_code == 200
    assert studio.num_sketches > 0


async def test_a_front_that_fell_silent_holds_no_places(store: MemoryStore) -> None:
    now = 0.0
    usage = Usage(clock=lambda: now)
    _, key = KeyRing(store).create("page", "generate", concurrency=1)
    await usage.enter("dead", "p1", key)
    now = 60.0
    await usage.enter("alive", "p2", key)
    assert (await usage.tell("alive", [], [("p2", key.id)])) == ()


async def test_who_leaves_while_a_place_is_asked_for_holds_none(store: MemoryStore, usage: UnsteadyUsage) -> None:
    _, key = KeyRing(store).create("page", "generate", concurrency=1)
    front = FrontUsage(InFlight(), asking(usage))

    async def draw() -> None:
        async with front.place(key):
            await asyncio.sleep(0)

    usage.slow_s = 60.0
    leaving = asyncio.create_task(draw())
    await asyncio.sleep(2 * TELL_EVERY_S)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    usage.slow_s = 0.0
    await draw()
    await asyncio.sleep(2 * TELL_EVERY_S)
