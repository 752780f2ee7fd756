"""Request ids, bounds on bodies, and a log without prompts."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"


@pytest.fixture
def config() -> ServiceConfig:
    return ServiceConfig(base_model="colours", keys=False, max_body_bytes=2048)


async def test_a_request_id_is_taken_over_or_made(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz", headers={"x-request-id": "mine-1"})).headers["x-request-id"] == "mine-1"
    made = (await client.get("/healthz", headers={"x-request-id": "no good\t"})).headers["x-request-id"]
    assert len(made) == 32


async def test_a_body_over_the_bound_is_a_413_whether_its_length_is_told_or_not(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    for reply in (
        await client.post(URL, content=b"x" * 4096),
        await client.post(URL, content=chunks(), headers={"content-type": "application/json"}),
        await client.post("/v1/images/edits", content=chunks(), headers={"content-type": "application/json"}),
    ):
        assert reply.status_code == 413
        assert reply.json()["error"]["code"] == "body_too_large"
        assert "x-request-id" in reply.headers


async def test_the_log_has_a_line_per_request_and_no_prompt(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await client.post(URL, json={"prompt": "very private"}, headers={"x-request-id": "r-1"})
    lines = [record.getMessage() for record in caplog.records if record.name == "services.requests"]
    assert len(lines) == 1
    assert '"request_id": "r-1"' in lines[0]
    assert "very private" not in caplog.text


async def test_the_log_has_prompts_when_the_operator_asks_for_them(
    studio: ColourStudio, store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    config = ServiceConfig(base_model="colours", keys=False, log_prompts=True)
    async with client_of(Desk(config, studio, store)) as client:
        await client.post(URL, json={"prompt": "a public hill"})
    assert "a public hill" in caplog.text


async def test_browsers_of_other_pages_may_call_only_when_the_operator_says_so(
    client: httpx.AsyncClient, studio: ColourStudio, store: MemoryStore
) -> None:
    headers = {"origin": "https://page.example"}
    assert "access-control-allow-origin" not in (await client.get("/healthz", headers=headers)).headers
    config = ServiceConfig(base_model="colours", keys=False, cors_origins=("https://page.example",))
    async with client_of(Desk(config, studio, store)) as open_client:
        reply = await open_client.get("/healthz", headers=headers)
        sent = {"prompt": "a", "steps": 1, "tiling": True}
        drawn = await open_client.post("/sdapi/v1/txt2img", json=sent, headers=headers)
    assert reply.headers["access-control-allow-origin"] == "https://page.example"
    for_browsers = {"x-content-type-options"}  # a page has no use for it
    exposed = set(drawn.headers["access-control-expose-headers"].split(", "))
    assert exposed >= {name for name in drawn.headers if name.startswith("x-")} - for_browsers | {"retry-after"}
    assert {"x-textinv-concepts", "x-textinv-ignored", "x-request-id"} <= exposed
