"""Clients that leave, and clients that send a request again."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Message

from services.api.app import make_app
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from tests.services.pictures import base64_of, png

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"
SLOW = {"prompt": "a hill", "num_inference_steps": 50, "seed": 1}


async def leave_early(desk: Desk, body: dict[str, object], headers: dict[str, str], after_s: float) -> list[Message]:
    """Send a request and close the connection after a while; what was answered until then."""
    sent: list[Message] = []
    content = json.dumps(body).encode()
    messages: list[Message] = [{"type": "http.request", "body": content, "more_body": False}]

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.sleep(after_s)
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    every = {"host": "localhost", "content-type": "application/json", **headers}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "path": URL,
        "raw_path": URL.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in every.items()],
        "client": ("127.0.0.1", 40000),
        "server": ("service", 80),
    }
    await make_app(desk)(scope, receive, send)
    return sent


@pytest.mark.parametrize("stream", [False, True])
async def test_a_request_whose_client_left_is_given_up(desk: Desk, studio: ColourStudio, stream: bool) -> None:
    studio.step_s = 0.01
    await leave_early(desk, SLOW | {"stream": stream}, {}, after_s=0.05)
    await asyncio.sleep(0.05)
    assert studio.num_left == 1
    assert studio.num_running == 0
    assert studio.num_finished == 0


async def test_with_an_idempotency_key_it_runs_on_and_the_retry_finds_the_picture(
    desk: Desk, studio: ColourStudio
) -> None:
    studio.step_s = 0.005
    headers = {"idempotency-key": "order-66"}
    await leave_early(desk, SLOW, headers, after_s=0.03)
    assert studio.num_running == 1
    async with client_of(desk) as client:
        first = await client.post(URL, json=SLOW, headers=headers)
        again = await client.post(URL, json=SLOW, headers=headers)
    assert first.status_code == 200
    assert first.content == again.content
    assert first.headers["x-textinv-concepts"] == again.headers["x-textinv-concepts"]
    assert studio.num_finished == 1
    assert studio.num_left == 0


async def test_another_front_finds_the_answer_too(desk: Desk, studio: ColourStudio) -> None:
    headers = {"idempotency-key": "k"}
    other = Desk(desk.config, studio, desk.store)
    async with client_of(desk) as here, client_of(other) as there:
        first = await here.post(URL, json={"prompt": "a"}, headers=headers)
        again = await there.post(URL, json={"prompt": "a"}, headers=headers)
    assert first.content == again.content
    assert studio.num_finished == 1


async def test_a_key_used_for_another_request_is_a_400_and_another_callers_is_another(
    desk: Desk, studio: ColourStudio
) -> None:
    headers = {"idempotency-key": "k"}
    async with client_of(desk) as client, client_of(desk, "10.0.0.9") as other:
        await client.post(URL, json={"prompt": "a"}, headers=headers)
        assert (await client.post(URL, json={"prompt": "b"}, headers=headers)).status_code == 400
        assert (await other.post(URL, json={"prompt": "b"}, headers=headers)).status_code == 200


async def test_a_failure_is_not_remembered(client: httpx.AsyncClient, studio: ColourStudio) -> None:
    headers = {"idempotency-key": "k"}
    studio.max_requests = 0
    assert (await client.post(URL, json={"prompt": "a"}, headers=headers)).status_code == 429
    studio.max_requests = 8
    assert (await client.post(URL, json={"prompt": "a"}, headers=headers)).status_code == 200


async def test_a_stream_with_a_key_is_refused_as_it_would_not_be_kept(
    client: httpx.AsyncClient, studio: ColourStudio
) -> None:
    reply = await client.post(URL, json={"prompt": "a", "stream": True}, headers={"idempotency-key": "k"})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "Idempotency-Key"
    assert studio.num_finished == 0


@pytest.mark.parametrize("route", ["txt2img", "img2img"])
async def test_a1111s_routes_draw_once_for_a_key_too(
    client: httpx.AsyncClient, studio: ColourStudio, route: str
) -> None:
    url, headers = f"/sdapi/v1/{route}", {"idempotency-key": "k"}
    sent = {"prompt": "a", "steps": 2, "tiling": True, "init_images": [base64_of(png())] if route == "img2img" else []}
    first, again = [await client.post(url, json=sent, headers=headers) for _ in range(2)]
    assert first.status_code == 200
    assert first.content == again.content
    assert first.headers["x-textinv-ignored"] == again.headers["x-textinv-ignored"] == "tiling"
    assert studio.num_finished == 1
    for other in ({"steps": 3}, {"init_images": [base64_of(png(32, 32))]} if route == "img2img" else {"tiling": False}):
        assert (await client.post(url, json=sent | other, headers=headers)).status_code == 400


async def test_an_a1111_request_that_was_interrupted_is_drawn_when_it_is_sent_again(
    client: httpx.AsyncClient, studio: ColourStudio
) -> None:
    studio.step_s = 0.01
    sent, headers = {"prompt": "a", "steps": 50}, {"idempotency-key": "k"}
    drawing = asyncio.create_task(client.post("/sdapi/v1/txt2img", json=sent, headers=headers))
    while not studio.num_running:
        await asyncio.sleep(0.01)
    await client.post("/sdapi/v1/interrupt")
    assert (await drawing).json()["images"] == []
    assert len((await client.post("/sdapi/v1/txt2img", json=sent, headers=headers)).json()["images"]) == 1
