"""`response_format: url` with the real store: the URL works without credentials, for as long as it is said to."""

import asyncio

import httpx
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from textinv.generation.infotext import read_png_infotext
from textinv.store import S3Store

pytestmark = [pytest.mark.anyio, pytest.mark.store]


async def test_a_picture_is_fetched_from_its_url(s3_store: S3Store) -> None:
    desk = Desk(ServiceConfig(base_model="colours", keys=False), ColourStudio(s3_store), s3_store)
    async with client_of(desk) as client:
        sent = {"prompt": "a hill", "response_format": "url", "seed": 4}
        item = (await client.post("/v1/images/generations", json=sent)).json()["data"][0]
        listed = await client.get("/v1/concepts")
    assert "b64_json" not in item
    fetched = httpx.get(item["url"])
    assert fetched.headers["content-type"] == "image/png"
    assert "Seed: 4" in (read_png_infotext(fetched.content) or "")
    assert listed.json()["data"] == []


async def test_a_url_expires_and_an_answer_that_is_given_again_has_one_that_works(s3_store: S3Store) -> None:
    # Operators may not choose so little; a test may not take so long.
    config = ServiceConfig(base_model="colours", keys=False).model_copy(update={"url_expires_s": 2})
    studio = ColourStudio(s3_store)
    sent, headers = {"prompt": "a hill", "response_format": "url", "n": 2}, {"idempotency-key": "k"}
    async with client_of(Desk(config, studio, s3_store)) as client:
        first = await client.post("/v1/images/generations", json=sent, headers=headers)
        pictures = [httpx.get(item["url"]) for item in first.json()["data"]]
        await asyncio.sleep(4)
        expired = [httpx.get(item["url"]).status_code for item in first.json()["data"]]
        again = await client.post("/v1/images/generations", json=sent, headers=headers)
        same = [httpx.get(item["url"]) for item in again.json()["data"]]
    assert [one.status_code for one in pictures] == [200, 200]
    assert expired == [403, 403]
    assert [one.content for one in same] == [one.content for one in pictures]
    assert studio.num_finished == 1
    kept = s3_store.get(next(iter(s3_store.list("replies/"))).key).body
    assert b"Signature" not in kept
