"""A1111's questions about one request and about the machine: `/internal/progress`, `memory`, `cmd-flags`."""

import asyncio
import base64
import io
from collections.abc import Callable
from mmap import mmap
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import read_memory
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
TASK = "task(first)"


async def told(client: httpx.AsyncClient, task: str = TASK, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await client.post("/internal/progress", json={"id_task": task, **fields})).json()
    return found


async def told_when(client: httpx.AsyncClient, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while not is_so(found := await told(client)):
            await asyncio.sleep(0.005)
    return found


def states(found: dict[str, Any]) -> list[str]:
    return [name for name in ("active", "queued", "completed") if found[name]]


async def test_a_task_is_queued_then_active_with_previews_then_completed(
    client: httpx.AsyncClient, studio: ColourStudio
) -> None:
    assert states(await told(client)) == []
    studio.step_s = 0.01
    sent = {"prompt": "a hill", "steps": 100, "force_task_id": TASK}
    drawing = asyncio.create_task(client.post("/sdapi/v1/txt2img", json=sent))
    queued = await told_when(client, lambda found: bool(states(found)))
    assert (states(queued), queued["textinfo"]) == (["queued"], "In queue...")
    shown = await told_when(client, lambda found: found["live_preview"] is not None)
    assert states(shown) == ["active"]
    assert 0 < shown["progress"] < 1
    assert shown["eta"] > 0
    picture = base64.b64decode(shown["live_preview"].removeprefix("data:image/png;base64,"))
    assert Image.open(io.BytesIO(picture)).size == (64, 64)
    known = await told(client, id_live_preview=shown["id_live_preview"])
    assert (known["live_preview"], known["id_live_preview"]) == (None, shown["id_live_preview"])
    assert (await told(client, live_preview=False))["live_preview"] is None
    assert states(await told(client, "task(other)")) == []
    assert (await drawing).headers.get("x-textinv-ignored") is None
    assert states(await told(client)) == ["completed"]


async def test_tasks_of_other_callers_are_not_shown(desk: Desk) -> None:
    async with client_of(desk) as mine, client_of(desk, "10.0.0.9") as theirs:
        sent = {"prompt": "a", "steps": 1, "force_task_id": TASK}
        assert (await theirs.post("/sdapi/v1/txt2img", json=sent)).status_code == 200
        assert states(await told(theirs)) == ["completed"]
        assert states(await told(mine)) == []


async def test_a_task_that_is_interrupted_or_refused_is_completed_too(
    client: httpx.AsyncClient, studio: ColourStudio
) -> None:
    studio.step_s = 0.01
    sent = {"prompt": "a", "steps": 100, "force_task_id": TASK}
    drawing = asyncio.create_task(client.post("/sdapi/v1/txt2img", json=sent))
    await told_when(client, lambda found: found["active"])
    await client.post("/sdapi/v1/interrupt")
    assert (await drawing).json()["images"] == []
    assert states(await told(client)) == ["completed"]
    studio.max_requests = 0
    refused = await client.post("/sdapi/v1/txt2img", json=sent | {"force_task_id": "task(second)"})
    assert refused.status_code == 429
    assert states(await told(client, "task(second)")) == ["completed"]


async def test_memory_is_that_of_whoever_draws(client: httpx.AsyncClient) -> None:
    found = (await client.get("/sdapi/v1/memory")).json()
    assert found == {"ram": {"free": 9, "used": 1, "total": 10}, "cuda": {"error": "unavailable"}}


def test_the_memory_of_this_process_is_read() -> None:
    before = read_memory(torch.device("cpu"))
    with mmap(-1, 64 * 2**20) as fresh:  # an allocator may hand out what the process has already
        fresh.write(b"1" * len(fresh))
        after = read_memory(torch.device("cpu"))
    assert after.ram["used"] - before.ram["used"] > 0.9 * 64 * 2**20
    assert after.ram["used"] < after.ram["total"]
    assert 0 < after.ram["free"] < after.ram["total"]
    assert after.cuda is None


async def test_flags_are_what_the_operator_chose(studio: ColourStudio, store: MemoryStore) -> None:
    config = ServiceConfig(base_model="colours", keys=False, max_num_images=3, cors_origins=("https://a.example",))
    async with client_of(Desk(config, studio, store)) as client:
        flags = (await client.get("/sdapi/v1/cmd-flags")).json()
    assert flags["max_batch_count"] == 3
    assert flags["cors_allow_origins"] == "https://a.example"
    assert flags["ckpt"] == "colours"
