"""`/readyz`: ready is what could draw now, not what once could."""

import httpx
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from tests.services.unsteady_store import UnsteadyStore
from textinv.errors import NotReadyError

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> UnsteadyStore:
    return UnsteadyStore()


async def readiness(client: httpx.AsyncClient) -> tuple[int, str]:
    reply = await client.get("/readyz")
    return reply.status_code, reply.json().get("status") or reply.json()["error"]["code"]


async def test_it_follows_store_and_replicas_down_and_up(
    client: httpx.AsyncClient, store: UnsteadyStore, studio: ColourStudio
) -> None:
    studio.is_away = True
    assert await readiness(client) == (503, "not_ready")
    studio.is_away = False
    assert await readiness(client) == (200, "ready")
    studio.is_away = True
    assert await readiness(client) == (503, "not_ready")
    assert (await client.get("/healthz")).status_code == 200
    studio.is_away = False
    store.is_down = True
    assert await readiness(client) == (503, "store_unreachable")
    store.is_down = False
    assert await readiness(client) == (200, "ready")


async def test_a_studio_that_does_not_answer_is_not_ready_and_is_asked_once_until_it_does(
    desk: Desk, studio: ColourStudio
) -> None:
    await desk.check_ready()
    studio.may_tell.clear()
    for _ in range(3):
        with pytest.raises(NotReadyError):
            await desk.check_ready(within_s=0.05)
    assert studio.num_asked == 2
    studio.may_tell.set()
    await desk.check_ready()


async def test_where_replicas_may_be_away_for_want_of_requests_it_does_not_bring_them_back(
    store: UnsteadyStore, studio: ColourStudio
) -> None:
    config = ServiceConfig(base_model="colours", keys=False, min_replicas=0)
    async with client_of(Desk(config, studio, store)) as client:
        assert await readiness(client) == (200, "ready")
        studio.is_away = True
        assert await readiness(client) == (200, "ready")
        store.is_down = True
        assert await readiness(client) == (503, "store_unreachable")
