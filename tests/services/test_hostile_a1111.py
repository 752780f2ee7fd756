"""What nobody should send to A1111's routes: each is refused with its reason, and others are drawn meanwhile."""

import asyncio
import json
import re
from typing import Any

import httpx
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from tests.services.pictures import base64_of, black_png, decompression_bomb, png
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
TXT2IMG, IMG2IMG = "/sdapi/v1/txt2img", "/sdapi/v1/img2img"


async def refused(client: httpx.AsyncClient, url: str, body: Any, status: int = 400) -> str:
    """Send it; what the refusal says."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    reply = await client.post(url, content=content, headers={"content-type": "application/json"})
    assert reply.status_code == status, reply.text[:300]
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    return str(reply.json()["detail"])


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"prompt": "x" * 1_000_000}, "prompt"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"negative_prompt": "a\x1b[31m"}, "negative_prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt": {"a": 1}}, "prompt"),
        ({"steps": -1}, "steps"),
        ({"steps": 0}, "steps"),
        ({"steps": 10**30}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"batch_size": 10**9}, "batch_size"),
        ({"batch_size": -3}, "batch_size"),
        ({"batch_size": 8, "n_iter": 8}, "batch_size"),
        ({"n_iter": 0}, "n_iter"),
        ({"width": 10**12}, "width"),
        ({"width": -64}, "width"),
        ({"width": 16_384, "height": 16_384}, "16384x16384"),
        ({"cfg_scale": 1e300}, "cfg_scale"),
        ({"cfg_scale": -1}, "cfg_scale"),
        ({"seed": -2}, "seed"),
        ({"seed": 2**200}, "seed"),
        ({"sampler_name": "x" * 10_000}, "sampler_name"),
        ({"sampler_name": "../../etc/passwd"}, "noise scheduler"),
        ({"scheduler": "\x00"}, "noise scheduler"),
        ({"override_settings": {"sd_model_checkpoint": "../other"}}, "other"),
        ({"prompt": "<nobody>"}, "nobody"),
        ({"prompt": "<cat@99999999>"}, "cat"),
        ({"prompt": "<cat@" + "9" * 5000 + ">"}, "prompt"),
        ({"prompt": "<cat@" + "9" * 4000 + ">"}, "prompt"),
        ({"prompt": "cat@" + "9" * 5000}, "prompt"),
        ({"negative_prompt": "embedding:cat@" + "9" * 5000}, "negative_prompt"),
        ({"scheduler": "Exponentially"}, "Exponentially"),
        ({"sampler_name": "Euler z", "scheduler": "Exponential"}, "Euler z"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_field_out_of_bounds_is_a_400_that_names_it(
    desk: Desk, client: httpx.AsyncClient, store: MemoryStore, fields: dict[str, Any], named: str
) -> None:
    publish(store, "cat")
    await desk.facts()
    assert named in await refused(client, TXT2IMG, {"prompt": "a hill", "width": 64, "height": 64, **fields})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"cfg_scale": NaN}',
        b'{"cfg_scale": Infinity}',
        b'{"unknown": [NaN]}',
        b"[" * 90_000,
    ],
    ids=lambda body: repr(body[:30]),
)
async def test_a_body_that_is_no_request_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    assert await refused(client, TXT2IMG, body)
    assert await refused(client, IMG2IMG, body)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"init_images": [base64_of(decompression_bomb())]}, "init_images"),
        ({"init_images": [base64_of(black_png(5000, 5000))]}, "init_images"),
        ({"init_images": [base64_of(png()[:70])]}, "init_images"),
        ({"init_images": ["data:image/png;base64,"]}, "init_images"),
        ({"init_images": ["data:text/html,<script>"]}, "init_images"),
        ({"init_images": ["file:///etc/passwd"]}, "init_images"),
        ({"init_images": ["http://169.254.169.254/latest"]}, "init_images"),
        ({"init_images": [base64_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>")]}, "init_images"),
        ({"init_images": ["A" * 17] * 17}, "init_images"),
        ({"init_images": "A"}, "init_images"),
        ({"mask": base64_of(decompression_bomb())}, "mask"),
        ({"mask": "\x00"}, "mask"),
        ({"denoising_strength": 2}, "denoising_strength"),
        ({"denoising_strength": -0.1}, "denoising_strength"),
        ({"inpainting_mask_invert": 7}, "inpainting_mask_invert"),
    ],
    ids=lambda value: str(value)[:50],
)
async def test_a_picture_that_cannot_be_used_is_a_400_that_names_it(
    client: httpx.AsyncClient, fields: dict[str, Any], named: str
) -> None:
    sent = {"prompt": "a", "init_images": [base64_of(png())], **fields}
    assert named in await refused(client, IMG2IMG, sent)


async def test_base64_beyond_the_bound_of_bodies_is_a_413(studio: ColourStudio, store: MemoryStore) -> None:
    config = ServiceConfig(base_model="colours", keys=False, max_body_bytes=100_000)
    async with client_of(Desk(config, studio, store)) as client:
        sent = {"prompt": "a", "init_images": ["A" * 200_000]}
        assert "larger" in await refused(client, IMG2IMG, sent, 413)
        assert "larger" in await refused(client, "/sdapi/v1/png-info", {"image": "A" * 200_000}, 413)


@pytest.mark.parametrize("image", ["", "A", "AAAA", "\x00", base64_of(decompression_bomb()), base64_of(b"GIF89a")])
async def test_png_info_of_what_is_no_png_is_a_400(client: httpx.AsyncClient, image: str) -> None:
    assert await refused(client, "/sdapi/v1/png-info", {"image": image})


async def test_the_text_of_a_picture_beyond_the_services_bound_is_refused_by_its_header(
    studio: ColourStudio, store: MemoryStore
) -> None:
    config = ServiceConfig(base_model="colours", keys=False, max_upload_px=4096)
    large = png(65, 64)
    async with client_of(Desk(config, studio, store)) as client:
        assert "65 x 64" in await refused(client, "/sdapi/v1/png-info", {"image": base64_of(large)})
        reply = await client.post("/v1/images/settings", files={"image": ("a.png", large, "image/png")})
        assert reply.status_code == 400
        assert "65 x 64" in reply.json()["detail"]


@pytest.mark.parametrize("options", [[], "x", {"sd_model_checkpoint": 3}, {"sd_model_checkpoint": "a" * 100_000}])
async def test_options_that_cannot_hold_are_a_400(desk: Desk, client: httpx.AsyncClient, options: Any) -> None:
    await desk.facts()
    assert await refused(client, "/sdapi/v1/options", options)


async def test_options_with_names_that_no_header_can_hold_are_taken(desk: Desk, client: httpx.AsyncClient) -> None:
    await desk.facts()
    names = {"ä\r\nx-evil: 1": 1, "\x00\x1b\x7f": 1, " ": 1, "b" * 5000: 2}
    asked = (
        ("/sdapi/v1/options", names),
        (TXT2IMG, {"prompt": "a", "steps": 1, **names}),
        (TXT2IMG, {"prompt": "a", "steps": 1, "override_settings": names}),
        (IMG2IMG, {"prompt": "a", "steps": 1, "init_images": [base64_of(png())], **names}),
    )
    for url, sent in asked:
        reply = await client.post(url, json=sent)
        assert reply.status_code == 200
        assert "x-evil" not in reply.headers
        for name, value in reply.headers.raw:
            assert re.fullmatch(rb"|[\x21-\x7e]([\x20-\x7e]{0,2000}[\x21-\x7e])?", value), (name, value)
        assert b"???x-evil: 1" in dict(reply.headers.raw)[b"x-textinv-ignored"]


@pytest.mark.parametrize("url", ["/sdapi/v1/options", TXT2IMG])
async def test_of_very_many_ignored_names_the_first_are_listed_and_the_others_counted(
    desk: Desk, client: httpx.AsyncClient, url: str
) -> None:
    await desk.facts()
    sent = {f"key-{number:04}": 1 for number in range(5000)}
    reply = await client.post(url, json=sent if url.endswith("options") else {"prompt": "a", "steps": 1, **sent})
    assert reply.status_code == 200
    *listed, rest = reply.headers["x-textinv-ignored"].split(", ")
    assert listed == sorted(sent)[: len(listed)]
    assert rest == f"and {5000 - len(listed)} more"
    assert 1900 < len(reply.headers["x-textinv-ignored"]) <= 2000


async def test_of_very_many_concepts_the_header_lists_the_first_and_the_picture_all(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    names = [f"a-rather-long-name-of-concept-{number:03}" for number in range(100)]
    for name in names:
        publish(store, name)
    reply = await client.post(TXT2IMG, json={"prompt": " ".join(f"<{name}>" for name in names), "steps": 1})
    assert reply.status_code == 200
    *listed, rest = reply.headers["x-textinv-concepts"].split(", ")
    assert [one.partition("@")[0] for one in listed] == names[: len(listed)]
    assert rest == f"and {100 - len(listed)} more"
    assert len(reply.headers["x-textinv-concepts"]) <= 2000
    info = (await client.post("/sdapi/v1/png-info", json={"image": reply.json()["images"][0]})).json()
    assert all(f"{name}@1" in info["info"] for name in names)


async def test_an_unknown_field_that_no_text_can_hold_is_echoed(client: httpx.AsyncClient) -> None:
    content = b'{"prompt": "a", "steps": 1, "unknown": "\\ud800"}'
    reply = await client.post(TXT2IMG, content=content, headers={"content-type": "application/json"})
    assert reply.status_code == 200
    assert reply.json()["parameters"]["unknown"] == "\ud800"


async def test_others_are_drawn_while_hostile_requests_are_refused(desk: Desk, studio: ColourStudio) -> None:
    studio.step_s = 0.01
    async with client_of(desk) as client, client_of(desk, "10.0.0.9") as hostile:
        drawing = asyncio.create_task(client.post(TXT2IMG, json={"prompt": "a hill", "steps": 20, "seed": 1}))
        for fields in ({"steps": -1}, {"prompt": "\x00"}, {"batch_size": 10**9}, {"prompt": "<nobody>"}):
            await refused(hostile, TXT2IMG, {"prompt": "a", **fields})
        await refused(hostile, IMG2IMG, {"prompt": "a", "init_images": [base64_of(decompression_bomb())]})
        assert not drawing.done()
        reply = await drawing
    assert reply.status_code == 200
    assert len(reply.json()["images"]) == 1
