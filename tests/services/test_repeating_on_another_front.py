"""A request with an `Idempotency-Key` that comes to several fronts is drawn once, and a front may die of it."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import httpx
import pytest

from services.access.front_usage import TELL_EVERY_S
from services.access.usage import Usage
from services.answers.idempotency import Replies
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import asking, client_of
from textinv.errors import StoreUnreachableError
from textinv.store.memory import MemoryStore
from textinv.store.protocol import BINARY, JSON, StoredObject

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"
HEADERS = {"idempotency-key": "order-66"}
BEAT_S = 0.2
# Longer than a front may be silent.
SENT = {"prompt": "a hill", "num_inference_steps": 75}
STEP_S = 0.03


class CutOffStore(MemoryStore):
    """A store as one front reaches it, or does not any more."""

    def __init__(self, store: MemoryStore) -> None:
        self._entries, self._keys, self._lock = store._entries, store._keys, store._lock
        self.is_cut = False

    def get(self, key: str) -> StoredObject:
        self._reach()
        return super().get(key)

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        self._reach()
        return super().create(key, body, content_type)

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        self._reach()
        return super().swap(key, body, etag, content_type)

    def _reach(self) -> None:
        if self.is_cut:
            raise StoreUnreachableError("the line to the store is cut")


@pytest.fixture
def studio(store: MemoryStore) -> ColourStudio:
    return ColourStudio(store, step_s=STEP_S)


@pytest.fixture
def desks(studio: ColourStudio, store: MemoryStore) -> list[Desk]:
    """Two fronts of one service."""
    config, shared = ServiceConfig(base_model="colours", keys=False, num_fronts=2), asking(Usage())
    desks = [Desk(config, studio, CutOffStore(store), shared=shared) for _ in range(2)]
    for desk in desks:
        desk.replies = Replies(desk.store, beat_s=BEAT_S)
    return desks


@pytest.fixture
async def fronts(desks: list[Desk]) -> AsyncIterator[list[httpx.AsyncClient]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(client_of(desk)) for desk in desks]
        await asyncio.sleep(2 * TELL_EVERY_S)


async def until(studio: ColourStudio, num_running: int) -> None:
    async with asyncio.timeout(10):
        while studio.num_running != num_running:
            await asyncio.sleep(0.01)


def cut(desk: Desk, is_cut: bool) -> None:
    assert isinstance(desk.store, CutOffStore)
    desk.store.is_cut = is_cut


async def test_it_is_drawn_once_while_both_are_asked_and_both_answer_the_same(
    fronts: list[httpx.AsyncClient], studio: ColourStudio
) -> None:
    asked = [fronts[number % 2].post(URL, json=SENT, headers=HEADERS) for number in range(4)]
    replies = await asyncio.gather(*asked)
    assert [reply.status_code for reply in replies] == [200] * 4
    assert len({reply.content for reply in replies}) == 1
    assert (studio.num_finished, studio.num_left) == (1, 0)


async def test_another_body_is_refused_while_the_first_is_under_way_on_the_other_front(
    fronts: list[httpx.AsyncClient], studio: ColourStudio
) -> None:
    here, there = fronts
    drawing = asyncio.create_task(here.post(URL, json=SENT, headers=HEADERS))
    await until(studio, 1)
    refused = await there.post(URL, json=SENT | {"prompt": "a dale"}, headers=HEADERS)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "Idempotency-Key"
    assert (await drawing).status_code == 200
    assert studio.num_finished == 1


async def test_what_a_dead_front_had_begun_is_drawn_by_the_other_and_is_the_same_picture(
    fronts: list[httpx.AsyncClient], desks: list[Desk], studio: ColourStudio
) -> None:
    here, there = fronts
    lost = asyncio.create_task(here.post(URL, json=SENT, headers=HEADERS))
    await until(studio, 1)
    cut(desks[0], True)
    found = await there.post(URL, json=SENT, headers=HEADERS)
    assert found.status_code == 200
    assert studio.num_finished == 2
    assert found.json()["data"] == (await lost).json()["data"]
    assert (await there.post(URL, json=SENT, headers=HEADERS)).content == found.content
    assert studio.num_finished == 2


async def test_a_front_that_only_seemed_dead_gives_way_to_the_one_that_took_over(
    fronts: list[httpx.AsyncClient], desks: list[Desk], studio: ColourStudio
) -> None:
    here, there = fronts
    first = asyncio.create_task(here.post(URL, json=SENT, headers=HEADERS))
    await until(studio, 1)
    cut(desks[0], True)
    second = asyncio.create_task(there.post(URL, json=SENT, headers=HEADERS))
    await until(studio, 2)
    cut(desks[0], False)
    replies = [await first, await second]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert replies[0].content == replies[1].content
    assert (studio.num_finished, studio.num_left) == (1, 1)


async def test_when_the_first_fails_the_other_front_tries_itself(
    fronts: list[httpx.AsyncClient], studio: ColourStudio
) -> None:
    here, there = fronts
    studio.fails_at_step = 30
    first = asyncio.create_task(here.post(URL, json=SENT, headers=HEADERS))
    await until(studio, 1)
    second = asyncio.create_task(there.post(URL, json=SENT, headers=HEADERS))
    assert (await first).status_code == 503
    studio.fails_at_step = None
    assert (await second).status_code == 200
    assert studio.num_finished == 1


async def test_fronts_on_both_sides_of_midnight_draw_once(
    fronts: list[httpx.AsyncClient], desks: list[Desk], studio: ColourStudio
) -> None:
    studio.step_s = 0.0
    midnight = datetime(2030, 1, 2, tzinfo=UTC).timestamp()
    for desk, now in zip(desks, (midnight - 1, midnight + 1), strict=True):
        desk.replies = Replies(desk.store, beat_s=BEAT_S, clock=lambda now=now: now)  # type: ignore[misc]
    for number in range(20):
        headers = {"idempotency-key": f"at midnight {number}"}
        replies = await asyncio.gather(*(front.post(URL, json=SENT, headers=headers) for front in fronts))
        assert len({reply.content for reply in replies}) == 1
        assert studio.num_finished == number + 1


async def test_what_cannot_be_read_in_the_place_of_an_answer_is_no_answer(
    fronts: list[httpx.AsyncClient], desks: list[Desk], store: MemoryStore, studio: ColourStudio
) -> None:
    studio.step_s = 0.0
    first = await fronts[0].post(URL, json=SENT, headers=HEADERS)
    (kept,) = store.list("replies/")
    store.put(kept.key, b"{}", JSON)
    again = await fronts[1].post(URL, json=SENT, headers=HEADERS)
    assert first.json()["data"] == again.json()["data"]
    assert studio.num_finished == 2


@pytest.mark.parametrize("url", [URL, "/sdapi/v1/txt2img"])
async def test_a_request_without_a_seed_has_that_of_its_key_wherever_it_is_drawn(url: str) -> None:
    async def picture(key: str) -> bytes:
        """What a service of its own draws, which has not heard of the key."""
        store = MemoryStore()
        config = ServiceConfig(base_model="colours", keys=False)
        async with client_of(Desk(config, ColourStudio(store), store)) as client:
            reply = await client.post(url, json={"prompt": "a hill"}, headers={"idempotency-key": key})
        found = reply.json()
        text = found["images"][0] if "images" in found else found["data"][0]["b64_json"]
        return base64.b64decode(text)

    one, again, other = await picture("order-66"), await picture("order-66"), await picture("order-67")
    assert one == again
    assert one != other
