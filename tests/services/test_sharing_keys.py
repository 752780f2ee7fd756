"""API keys whose pictures the guess may learn from: what is submitted with them, until they opt out."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.access.keys import KeyRing
from tests.services.conftest import client_of
from tests.services.job_tools import manifest_of, open_desk, photo
from textinv.registry.shares import shares
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def client(store: MemoryStore) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(open_desk(store, keys=True)) as client:
        yield client


async def submit(client: httpx.AsyncClient, text: str, *names: str, **fields: object) -> None:
    headers = {"authorization": f"Bearer {text}"}
    picture = (await client.post("/v1/images", content=photo(1), headers=headers)).json()["id"]
    reply = await client.post("/v1/jobs", json=manifest_of([picture], *names, **fields), headers=headers)
    assert reply.status_code == 200, reply.text


async def test_a_key_shares_what_it_submits_unless_the_manifest_says_otherwise(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    sharing, key = KeyRing(store).create("shares", "submit", share_with_guess=True)
    quiet, other = KeyRing(store).create("does not", "submit")
    await submit(client, sharing, "fox")
    await submit(client, sharing, "hen", share_with_guess=False)
    await submit(client, quiet, "cow")
    await submit(client, quiet, "pig", share_with_guess=True)
    assert {one.concept: one.tenant for one in shares(store)} == {"fox": key.id, "pig": other.id}


async def test_a_key_that_opts_out_takes_back_all_that_it_ever_shared_and_shares_no_more(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    sharing, key = KeyRing(store).create("shares", "submit", share_with_guess=True)
    other, _ = KeyRing(store).create("too", "submit", share_with_guess=True)
    await submit(client, sharing, "fox", "hen")
    await submit(client, other, "cow")
    changed, taken_back = KeyRing(store).share(key.id[:8], on=False)
    assert (changed.share_with_guess, changed.secret_sha256, taken_back) == (False, key.secret_sha256, 2)
    assert [one.concept for one in shares(store)] == ["cow"]
    async with client_of(open_desk(store, keys=True)) as later:
        await submit(later, sharing, "pig")
    assert [one.concept for one in shares(store)] == ["cow"]
    assert KeyRing(store).share(key.id, on=True)[0].share_with_guess
