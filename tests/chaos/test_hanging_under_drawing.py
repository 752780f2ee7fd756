"""A real store that takes requests and answers none while pictures are drawn over HTTP."""

import asyncio
import time

import pytest

from services.access.keys import KeyRing
from tests.fixtures.faulty_store import FaultyStore
from tests.services.conftest import anyio_backend, client_of
from tests.services.job_tools import open_desk
from textinv.store import S3Store, connect_store

__all__ = ["anyio_backend"]
pytestmark = [pytest.mark.chaos, pytest.mark.store, pytest.mark.anyio, pytest.mark.timeout(200)]
DRAW = "/v1/images/generations"
NUM_STRANGERS = 64


async def test_known_callers_are_drawn_for_at_once_and_others_told_within_seconds(
    faulty_store: FaultyStore, s3_store: S3Store
) -> None:
    text, _ = KeyRing(s3_store).create("me", "generate")
    desk = open_desk(connect_store(faulty_store.settings, answers_soon=True), keys=True)
    mine, asked = {"authorization": f"Bearer {text}"}, {"prompt": "a frog"}
    async with client_of(desk) as client, client_of(desk, "10.0.0.9") as others:
        assert (await client.post(DRAW, json=asked, headers=mine)).status_code == 200
        faulty_store.goes_on.clear()
        began = time.monotonic()
        strangers = [
            asyncio.create_task(
                others.post(DRAW, json=asked, headers={"authorization": f"Bearer ti_{number:012x}_{'s' * 43}"})
            )
            for number in range(NUM_STRANGERS)
        ]
        slowest = 0.0
        while time.monotonic() - began < 10.0:  # over the time for which a key is taken as it was read
            one = time.monotonic()
            assert (await client.post(DRAW, json=asked, headers=mine)).status_code == 200
            slowest = max(slowest, time.monotonic() - one)
            await asyncio.sleep(0.3)
        print(f"slowest draw with a remembered key: {slowest:.2f} s")
        assert slowest < 2.5
        told = [reply.status_code for reply in await asyncio.gather(*strangers)]
        assert set(told) <= {401, 429, 503}
        assert time.monotonic() - began < 120.0
