"""Pictures that the base model's safety checker flags: how each of the APIs answers, and the operator's switch."""

import asyncio
import json
from pathlib import Path

import httpx
import openai
import pytest

from services.api.app import make_app
from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio, open_studio
from tests.generation.screened_bases import FLAGS_ALL, make_screened_base
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from tests.services.pictures import pixels_of
from textinv.settings import StoreSettings
from textinv.store import connect_store

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"


@pytest.fixture(autouse=True)
def _flagged(studio: ColourStudio) -> None:
    studio.flagged_seeds = {5, 8}


async def test_one_of_several_is_black_and_marked(client: httpx.AsyncClient) -> None:
    reply = await client.post(URL, json={"prompt": "a", "seed": 4, "n": 3})
    assert reply.status_code == 200
    assert [item.get("flagged", False) for item in reply.json()["data"]] == [False, True, False]
    assert [bool(pixels_of(item["b64_json"]).any()) for item in reply.json()["data"]] == [True, False, True]


async def test_a_request_with_nothing_to_show_is_an_error_that_no_client_sends_again(
    desk: Desk, client: httpx.AsyncClient
) -> None:
    http = httpx.AsyncClient(transport=httpx.ASGITransport(make_app(desk)))
    async with openai.AsyncOpenAI(base_url="http://localhost/v1", api_key="none", http_client=http) as official:
        with pytest.raises(openai.BadRequestError) as caught:
            await official.images.generate(prompt="a", extra_body={"seed": 5})
    assert caught.value.code == "content_policy_violation"
    stream = await client.post(URL, json={"prompt": "a", "seed": 5, "stream": True})
    assert stream.text.startswith("event: error\n")
    assert "content_policy_violation" in stream.text
    assert "b64_json" not in stream.text


async def test_a1111_gets_a_black_picture_and_info_that_says_so(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/sdapi/v1/txt2img", json={"prompt": "a", "seed": 8, "batch_size": 2})).json()
    assert json.loads(answer["info"])["flagged"] == [True, False]
    assert [bool(pixels_of(picture).any()) for picture in answer["images"]] == [False, True]


@pytest.mark.store
@pytest.mark.parametrize("screened", [True, False])
async def test_the_base_models_own_checker_is_used_unless_the_operator_turns_it_off(
    tmp_path: Path, s3_settings: StoreSettings, screened: bool
) -> None:
    folder = make_screened_base(tmp_path / "base", FLAGS_ALL)
    settings = {"base_model": str(folder), "store": s3_settings, "keys": False, "max_batch": 4, "device": "cpu"}
    config = ServiceConfig(**settings) if screened else ServiceConfig(**settings, safety_checker=False)  # type: ignore[arg-type]
    studio: EngineStudio = await asyncio.to_thread(open_studio, config)
    try:
        async with client_of(Desk(config, studio, connect_store(s3_settings))) as client:
            assert (await client.get("/v1/models")).json()["data"][0]["screened"] is screened
            reply = await client.post(URL, json={"prompt": "a red fox", "num_inference_steps": 2})
            others = await client.post("/sdapi/v1/txt2img", json={"prompt": "a red fox", "steps": 2})
    finally:
        studio.close()
    assert reply.status_code == (400 if screened else 200)
    assert others.status_code == 200
    assert json.loads(others.json()["info"])["flagged"] == [screened]
