"""`response_format: url` with the real store: the URL works without credentials."""

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
