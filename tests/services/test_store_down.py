"""While the store is down, only requests that need something of it fail."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.concept_list import ConceptList
from services.desk import Desk
from tests.services.conftest import client_of, publish
from tests.services.unsteady_store import UnsteadyStore

pytestmark = pytest.mark.anyio
TXT2IMG = "/sdapi/v1/txt2img"


@pytest.fixture
def store() -> UnsteadyStore:
    return UnsteadyStore()


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    desk.concepts = ConceptList(desk.registry, kept_s=0.0)
    async with client_of(desk) as client:
        yield client


async def drawn(client: httpx.AsyncClient, prompt: str) -> int:
    return (await client.post(TXT2IMG, json={"prompt": prompt, "steps": 1})).status_code


async def test_a1111_draws_go_on_with_the_list_of_names_as_it_was(
    client: httpx.AsyncClient, store: UnsteadyStore
) -> None:
    for name in ("warm", "cold"):
        publish(store, name)
    assert await drawn(client, "a warm hill") == 200
    store.is_down = True
    assert await drawn(client, "a hill") == 200
    assert await drawn(client, "a warm hill") == 200
    assert await drawn(client, "a cold hill") == 503
    store.is_down = False
    assert await drawn(client, "a cold hill") == 200


async def test_before_the_list_was_ever_read_a_prompt_without_words_is_drawn_and_others_wait_for_it(
    client: httpx.AsyncClient, store: UnsteadyStore
) -> None:
    store.is_down = True
    assert await drawn(client, "") == 200
    assert await drawn(client, "a hill") == 503
    store.is_down = False
    assert await drawn(client, "a hill") == 200
