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

    every = {"content-type": "application/json", **headers}
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
