"""`POST /v1/images` and thumbnails: what becomes of a picture that somebody uploads to learn from."""

import hashlib
import io
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from PIL import Image

from services.desk import Desk
from tests.services.conftest import client_of
from tests.services.job_tools import open_desk, photo
from tests.services.pictures import black_png, decompression_bomb, half_transparent_png, png
from textinv.spec import image_key
from textinv.store import S3Store

pytestmark = [pytest.mark.anyio, pytest.mark.store]


@pytest.fixture
def desk(s3_store: S3Store) -> Desk:
    return open_desk(s3_store)


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


async def test_a_picture_is_stored_once_under_its_digest_however_it_is_sent(
    client: httpx.AsyncClient, s3_store: S3Store
) -> None:
    body = photo(1)
    raw = (await client.post("/v1/images", content=body, headers={"content-type": "image/png"})).json()
    form = (await client.post("/v1/images", files={"image": ("fox.png", body)})).json()
    assert raw["digest"] == form["digest"] == hashlib.sha256(body).hexdigest()
    assert (raw["created"], form["created"]) == (True, False)
    assert raw["id"] == f"sha256:{raw['digest']}"
    assert s3_store.get(image_key(raw["digest"])).body == body


async def test_a_picture_that_is_transparent_everywhere_teaches_nothing(client: httpx.AsyncClient) -> None:
    reply = await client.post("/v1/images", content=png(mode="RGBA", colour=(0, 0, 0, 0)))
    assert reply.status_code == 400
    assert "nothing could be learned from it" in reply.json()["detail"]


async def test_it_is_told_which_part_is_trained_on_and_the_thumbnail_shows_it(client: httpx.AsyncClient) -> None:
    told = (await client.post("/v1/images", content=photo(1, 192, 128))).json()
    assert (told["width"], told["height"], told["usable"], told["problems"]) == (192, 128, True, [])
    assert told["training"]["box"] == {"left": 32.0, "top": 0.0, "right": 160.0, "bottom": 128.0}
    assert (told["training"]["resolution_px"], told["training"]["scale"]) == (64, 0.5)
    shown = await client.get(told["thumbnail"])
    assert shown.headers["content-type"] == "image/png"
    assert "immutable" in shown.headers["cache-control"]
    assert opened(shown.content).size == (64, 64)
    middle = opened(photo(1, 192, 128)).crop((32, 0, 160, 128)).resize((64, 64), Image.Resampling.BICUBIC)
    assert np.abs(np.asarray(opened(shown.content), int) - np.asarray(middle, int)).max() <= 2


async def test_a_turned_photograph_is_shown_upright(client: httpx.AsyncClient) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    told = (await client.post("/v1/images", content=photo(2, 160, 96, "JPEG", exif=exif))).json()
    assert (told["width"], told["height"], told["training"]["turned"]) == (96, 160, True)


async def test_what_counts_less_in_the_loss_is_transparent_in_the_thumbnail(client: httpx.AsyncClient) -> None:
    told = (await client.post("/v1/images", content=half_transparent_png())).json()
    assert told["transparent"] is True
    alpha = np.asarray(opened((await client.get(told["thumbnail"])).content))[..., 3]
    assert alpha[:, :28].max() == 0
    assert alpha[:, 36:].min() == 255


async def test_problems_are_named_beside_the_pictures_that_came_before(client: httpx.AsyncClient) -> None:
    first = (await client.post("/v1/images", content=photo(3, 200, 200))).json()["digest"]
    second = (await client.post("/v1/images", content=photo(4, 200, 200))).json()["digest"]
    params = {"other": [f"sha256:{first}", second]}
    again = await client.post("/v1/images", params=params, content=photo(3, 200, 200, "JPEG", quality=85))
    assert [(one["code"], one["other"]) for one in again.json()["problems"]] == [("near_duplicate", first)]
    same = await client.post("/v1/images", params=params, content=photo(3, 200, 200))
    assert [(one["code"], one["other"]) for one in same.json()["problems"]] == [("same_picture", first)]
    assert again.json()["usable"] is same.json()["usable"] is True


@pytest.mark.parametrize(("side", "code", "usable"), [(24, "too_small", False), (48, "enlarged", True)])
async def test_a_small_picture_is_told_apart_from_a_tiny_one(
    client: httpx.AsyncClient, side: int, code: str, usable: bool
) -> None:
    told = (await client.post("/v1/images", content=photo(5, side, side))).json()
    assert [one["code"] for one in told["problems"]] == [code]
    assert told["usable"] is usable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<svg xmlns='x'></svg>",
        b"just words",
        photo(1)[:500],
        decompression_bomb(),
        black_png(9000, 2000),
    ],
    ids=["empty", "svg", "text", "cut short", "bomb", "too many pixels"],
)
async def test_what_is_no_picture_is_a_400_and_is_not_stored(
    client: httpx.AsyncClient, s3_store: S3Store, body: bytes
) -> None:
    reply = await client.post("/v1/images", content=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == ("invalid_image", "image")
    assert list(s3_store.list("images/")) == []


async def test_mistakes_in_the_query_name_the_parameter(client: httpx.AsyncClient) -> None:
    for params, param in (
        ({"resolution_px": 60}, "resolution_px"),
        ({"crop": "left"}, "crop"),
        ({"other": "abc"}, "other"),
        ({"other": "0" * 64}, "other"),
        ({"base_model": "/etc"}, "base_model"),
    ):
        reply = await client.post("/v1/images", params=params, content=photo(1))
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_thumbnail_of_what_was_never_uploaded_is_a_404(client: httpx.AsyncClient) -> None:
    for digest in ("0" * 64, "abc", "..%2f..%2fkeys", "%00"):
        reply = await client.get(f"/v1/images/{digest}/thumbnail")
        assert reply.status_code == 404
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_body_beyond_the_limit_is_a_413(s3_store: S3Store) -> None:
    async with client_of(open_desk(s3_store, max_body_bytes=2000)) as client:
        reply = await client.post("/v1/images", content=photo(1, 300, 300))
        assert reply.status_code == 413
