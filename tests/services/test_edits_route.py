"""`POST /v1/images/edits`, as a form and as JSON."""

import httpx
import pytest

from tests.services.conftest import publish
from tests.services.pictures import (
    GREY,
    base64_of,
    black_png,
    decompression_bomb,
    half_transparent_png,
    pixels_of,
    png,
)
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
URL = "/v1/images/edits"


async def test_an_edit_changes_only_what_is_transparent_in_the_mask(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    published = publish(store, "cat")
    files = {"image": ("a.png", png(), "image/png"), "mask": ("m.png", half_transparent_png(), "image/png")}
    fields = {"prompt": "a <cat>", "seed": "3", "n": "2", "strength": "0.6"}
    body = (await client.post(URL, data=fields, files=files)).json()
    assert [item["seed"] for item in body["data"]] == [3, 4]
    assert body["concepts"] == {"cat@1": published.digest}
    pixels = pixels_of(body["data"][0]["b64_json"])
    assert (pixels[:, 32:] == GREY).all()
    assert (pixels[:, :32] != GREY).any()


async def test_the_pictures_own_transparency_is_a_mask(client: httpx.AsyncClient) -> None:
    files = {"image": ("a.png", half_transparent_png(), "image/png")}
    body = (await client.post(URL, data={"prompt": "a"}, files=files)).json()
    assert (pixels_of(body["data"][0]["b64_json"])[:, 32:] == GREY).all()


@pytest.mark.parametrize("field", ["image", "mask"])
async def test_what_is_transparent_everywhere_may_change_everywhere(client: httpx.AsyncClient, field: str) -> None:
    open_ = png(mode="RGBA", colour=(0, 0, 0, 0))
    files = {"image": ("a.png", png(), "image/png"), field: ("t.png", open_, "image/png")}
    reply = await client.post(URL, data={"prompt": "a"}, files=files)
    assert reply.status_code == 200, reply.text
    assert (pixels_of(reply.json()["data"][0]["b64_json"]) != GREY).any(-1).all()


async def test_the_json_spelling_gives_the_same_picture_as_the_form(client: httpx.AsyncClient) -> None:
    form = await client.post(URL, data={"prompt": "a", "seed": "1"}, files={"image[]": ("a.png", png(), "image/png")})
    url = "data:image/png;base64," + base64_of(png())
    sent = await client.post(URL, json={"prompt": "a", "seed": 1, "images": [{"image_url": url}]})
    assert form.status_code == sent.status_code == 200
    assert form.json()["data"] == sent.json()["data"]


async def test_a_large_picture_is_drawn_at_a_size_of_the_base_model(client: httpx.AsyncClient) -> None:
    body = (
        await client.post(URL, data={"prompt": "a"}, files={"image": ("a.png", png(1000, 500), "image/png")})
    ).json()
    assert body["size"] == "88x48"


async def test_an_edit_can_be_streamed(client: httpx.AsyncClient) -> None:
    fields = {"prompt": "a", "stream": "true", "partial_images": "1", "num_inference_steps": "4"}
    reply = await client.post(URL, data=fields, files={"image": ("a.png", png(), "image/png")})
    kinds = [line.removeprefix("event: ") for line in reply.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["image_edit.partial_image", "image_edit.completed"]


@pytest.mark.parametrize(
    ("files", "param"),
    [
        ({"image": b"this is text"}, "image"),
        ({"image": b""}, "image"),
        ({"image": png()[:60]}, "image"),
        ({"image": decompression_bomb()}, "image"),
        ({"image": black_png(5000, 5000)}, "image"),
        ({"image": png(), "mask": b"\x00\x01"}, "mask"),
        ({"image": png(), "mask": png()}, "mask"),
        ({"mask": half_transparent_png()}, "image"),
        ({"image": png(), "other": png()}, "other"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_an_upload_that_is_no_usable_picture_is_a_400(
    client: httpx.AsyncClient, files: dict[str, bytes], param: str
) -> None:
    named = {name: (f"{name}.png", data, "image/png") for name, data in files.items()}
    reply = await client.post(URL, data={"prompt": "a"}, files=named)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"prompt": "a"},
        {"prompt": "a", "images": []},
        {"prompt": "a", "images": [{"file_id": "file-1"}]},
        {"prompt": "a", "images": [{"image_url": "http://127.0.0.1:1/a.png"}]},
        {"prompt": "a", "images": [{"image_url": "file:///etc/passwd"}]},
        {"prompt": "a", "images": [{"image_url": "data:image/png;base64,###"}]},
        {"prompt": "a", "images": [{"image_url": "x"}] * 17},
        {"prompt": "a", "images": "x", "strength": 3},
        [],
        "text",
    ],
    ids=lambda value: str(value)[:60],
)
async def test_json_without_a_usable_picture_is_a_400(client: httpx.AsyncClient, sent: object) -> None:
    reply = await client.post(URL, json=sent)
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("kind", ["text/plain", "", "multipart/form-data", "application/json"])
async def test_a_body_of_another_kind_is_a_400(client: httpx.AsyncClient, kind: str) -> None:
    reply = await client.post(URL, content=b"\x00\xff{", headers={"content-type": kind})
    assert reply.status_code == 400
