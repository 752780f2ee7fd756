"""The official client against the routes: drawing, edits, streams, errors and retries."""

import base64
from collections.abc import AsyncIterator

import httpx
import openai
import pytest

from services.api.app import make_app
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import publish
from tests.services.pictures import half_transparent_png, png
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


class CountingTransport(httpx.ASGITransport):
    """Counts requests, so that retries show."""

    num_requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.num_requests += 1
        return await super().handle_async_request(request)


@pytest.fixture
def transport(desk: Desk) -> CountingTransport:
    return CountingTransport(make_app(desk), raise_app_exceptions=False)


@pytest.fixture
async def official(transport: CountingTransport) -> AsyncIterator[openai.AsyncOpenAI]:
    http = httpx.AsyncClient(transport=transport)
    async with openai.AsyncOpenAI(base_url="http://localhost/v1", api_key="none", http_client=http) as client:
        yield client


async def test_pictures_come_with_seeds_and_concepts(official: openai.AsyncOpenAI, store: MemoryStore) -> None:
    publish(store, "cat")
    extras = {"seed": 5, "num_inference_steps": 2, "negative_prompt": "blur"}
    answer = await official.images.generate(prompt="<cat>", model="colours", n=2, size="auto", extra_body=extras)
    assert answer.data is not None
    assert [item.model_dump()["seed"] for item in answer.data] == [5, 6]
    assert base64.b64decode(answer.data[0].b64_json or "").startswith(b"\x89PNG")
    assert list(answer.model_dump()["concepts"]) == ["cat@1"]


async def test_a_stream_is_read_as_typed_events(official: openai.AsyncOpenAI) -> None:
    stream = await official.images.generate(
        prompt="a hill", model="colours", stream=True, partial_images=2, extra_body={"num_inference_steps": 6}
    )
    events = [event async for event in stream]
    assert [event.type for event in events] == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert [event.partial_image_index for event in events if event.type == "image_generation.partial_image"] == [0, 1]


async def test_an_edit_is_sent_as_a_form(official: openai.AsyncOpenAI) -> None:
    answer = await official.images.edit(
        image=("a.png", png(), "image/png"), mask=("m.png", half_transparent_png(), "image/png"), prompt="a hill", n=1
    )
    assert answer.data is not None
    assert answer.data[0].b64_json


async def test_a_callers_mistake_is_typed_and_not_sent_again(
    official: openai.AsyncOpenAI, transport: CountingTransport
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await official.images.generate(prompt="<nobody>")
    assert caught.value.code == "unknown_concept"
    assert caught.value.param == "prompt"
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError, match="quality"):
        await official.images.generate(prompt="a", quality="hd")
    with pytest.raises(openai.NotFoundError):
        await official.models.retrieve("gpt-image-1")
    assert transport.num_requests == 3


async def test_a_full_service_is_asked_again_and_then_reported(
    official: openai.AsyncOpenAI, transport: CountingTransport, studio: ColourStudio
) -> None:
    studio.max_requests = 0
    with pytest.raises(openai.RateLimitError):
        await official.with_options(max_retries=0).images.generate(prompt="a")
    assert transport.num_requests == 1


async def test_a_stream_that_fails_on_the_way_says_so(official: openai.AsyncOpenAI, studio: ColourStudio) -> None:
    studio.fails_at_step = 2
    stream = await official.images.generate(prompt="a", stream=True, model="colours")
    with pytest.raises(openai.APIError, match="colours ran out"):
        async for _ in stream:
            pass
