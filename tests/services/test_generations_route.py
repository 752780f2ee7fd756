"""`POST /v1/images/generations` over real routes, with a studio that draws colours."""

import base64
import io

import httpx
import pytest
from PIL import Image

from tests.services.colour_studio import ColourStudio
from tests.services.conftest import publish
from textinv.generation.infotext import read_infotext, read_png_infotext
from textinv.generation.told_sizes import ToldSizes
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"


def picture_of(item: dict[str, str]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))


async def test_a_stored_concept_is_drawn_and_the_answer_says_which_version(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    published = publish(store, "dotty-fox")
    reply = await client.post(URL, json={"prompt": "a <dotty-fox> on a hill", "n": 2, "seed": 7})
    assert reply.status_code == 200
    body = reply.json()
    assert [item["seed"] for item in body["data"]] == [7, 8]
    assert body["concepts"] == {"dotty-fox@1": published.digest}
    assert reply.headers["x-textinv-concepts"] == f"dotty-fox@1={published.digest[:12]}"
    assert [picture_of(item).size for item in body["data"]] == [(64, 64), (64, 64)]
    assert body["size"] == "64x64"
    infotext = read_png_infotext(base64.b64decode(body["data"][1]["b64_json"]))
    assert infotext is not None
    assert read_infotext(infotext).settings["Seed"] == "8"
    assert read_infotext(infotext).concept_hashes == {"dotty-fox@1": published.digest[:12]}


async def test_a_version_can_be_named_and_pinned(client: httpx.AsyncClient, store: MemoryStore) -> None:
    first, second = publish(store, "cat", 1.0), publish(store, "cat", 2.0)
    for body, expected in (
        ({"prompt": "<cat@1>"}, first),
        ({"prompt": "<cat>"}, second),
        ({"prompt": "<cat>", "concepts": ["cat@1"]}, first),
        ({"prompt": "a cat", "concepts": ["cat"]}, second),
    ):
        reply = await client.post(URL, json=body)
        assert reply.json()["concepts"] == {f"cat@{expected.version}": expected.digest}


async def test_a_layer_and_sizes_are_asked_for(client: httpx.AsyncClient, studio: ColourStudio) -> None:
    sent = {"prompt": "a hill", "clip_skip": 2, "original_size": "160x96", "crop_top_left": "24,8"}
    assert (await client.post(URL, json=sent)).status_code == 200
    assert (await client.post(URL, json={"prompt": "a hill"})).status_code == 200
    first, second = studio.requests
    assert (first.clip_skip, first.sizes) == (2, ToldSizes((96, 160), (24, 8)))
    assert (second.clip_skip, second.sizes) == (None, None)


async def test_a_random_seed_is_told_and_draws_the_same_again(client: httpx.AsyncClient) -> None:
    first = (await client.post(URL, json={"prompt": "a hill"})).json()["data"][0]
    again = (await client.post(URL, json={"prompt": "a hill", "seed": first["seed"]})).json()["data"][0]
    assert first["b64_json"] == again["b64_json"]


async def test_an_unknown_concept_is_a_400_that_names_it_and_close_ones(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "dotty-fox")
    reply = await client.post(URL, json={"prompt": "a <dotty-fix>"})
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == "unknown_concept"
    assert "dotty-fix" in error["message"]
    assert "dotty-fox" in error["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 11}, "n"),
        ({"n": 10**30}, "n"),
        ({"n": 0}, "n"),
        ({"n": "many"}, "n"),
        ({"size": "64x65"}, "size"),
        ({"size": "99999x99999"}, "size"),
        ({"size": "big"}, "size"),
        ({"num_inference_steps": -1}, "num_inference_steps"),
        ({"guidance_scale": 1e9}, "guidance_scale"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"noise_scheduler": "magic"}, "noise_scheduler"),
        ({"quality": "hd"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"moderation": "low"}, "moderation"),
        ({"style": "natural"}, "style"),
        ({"output_format": "gif"}, "output_format"),
        ({"output_compression": 50}, "output_compression"),
        ({"partial_images": 2}, "partial_images"),
        ({"model": "dall-e-3"}, "model"),
        ({"stepz": 3}, "stepz"),
        ({"clip_skip": 0}, "clip_skip"),
        ({"clip_skip": "last"}, "clip_skip"),
        ({"original_size": "large"}, "original_size"),
        ({"original_size": "0x64"}, "original_size"),
        ({"crop_top_left": "8x8"}, "crop_top_left"),
        ({"target_size": "99999x64"}, "target_size"),
        ({"concepts": ["NOT A NAME"]}, "concepts"),
        ({"concepts": ["absent"]}, "concepts"),
        ({"concepts": ["cat@" + "9" * 5000]}, "concepts"),
        ({"concepts": ["cat@" + "9" * 4000]}, "concepts"),
        ({"model": "colours:cat@" + "9" * 5000}, "concepts"),
        ({"prompt": "a <cat@" + "9" * 5000 + ">"}, "prompt"),
        ({"prompt": "a <cat@" + "9" * 4000 + ">"}, "prompt"),
        ({"negative_prompt": "a embedding:cat@" + "9" * 5000}, "negative_prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": "x" * 1_000_000}, "prompt"),
        ({"prompt": "a\x00b"}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"negative_prompt": "a\x1bb"}, "negative_prompt"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_cannot_be_honoured_is_a_400_that_names_the_field(
    client: httpx.AsyncClient, fields: dict[str, object], param: str
) -> None:
    reply = await client.post(URL, json={"prompt": "a hill", **fields})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param
    assert reply.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b'{"prompt": "a", "guidance_scale": NaN}', b"[" * 100_000, b"9" * 5000],
    ids=lambda body: repr(body[:30]),
)
async def test_a_body_that_is_no_request_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    reply = await client.post(URL, content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


async def test_defaults_of_fields_that_do_nothing_here_are_accepted(client: httpx.AsyncClient) -> None:
    defaults = {"quality": "auto", "background": "auto", "moderation": "auto", "style": "vivid", "user": "u", "n": None}
    reply = await client.post(URL, json={"prompt": "a hill", "model": "colours", **defaults})
    assert reply.status_code == 200


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_pictures_come_in_the_format_asked_for(client: httpx.AsyncClient, form: str) -> None:
    reply = await client.post(URL, json={"prompt": "a hill", "output_format": form, "size": "32x64"})
    picture = picture_of(reply.json()["data"][0])
    assert (picture.format or "").lower() == form
    assert picture.size == (32, 64)


async def test_a_stream_carries_previews_and_then_the_pictures(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "cat")
    body = {"prompt": "<cat>", "stream": True, "partial_images": 2, "num_inference_steps": 9, "seed": 3}
    reply = await client.post(URL, json=body)
    assert reply.headers["content-type"].startswith("text/event-stream")
    kinds = [line.removeprefix("event: ") for line in reply.text.splitlines() if line.startswith("event: ")]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert "cat@1" in reply.headers["x-textinv-concepts"]


async def test_a_refused_stream_has_its_status_and_not_200(client: httpx.AsyncClient) -> None:
    reply = await client.post(URL, json={"prompt": "<nobody>", "stream": True})
    assert reply.status_code == 400


async def test_a_full_studio_is_a_429_with_retry_after(client: httpx.AsyncClient, studio: ColourStudio) -> None:
    studio.max_requests = 0
    reply = await client.post(URL, json={"prompt": "a hill"})
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "7"
    assert reply.json()["error"]["type"] == "rate_limit_error"


async def test_a_concept_behind_the_base_models_name_is_a_listed_one(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    first, second = publish(store, "cat", 1.0), publish(store, "cat", 2.0)
    for model, expected in (("colours:cat", second), ("colours:cat@1", first)):
        reply = await client.post(URL, json={"prompt": "a cat on a hill", "model": model})
        assert reply.json()["concepts"] == {f"cat@{expected.version}": expected.digest}
    for model, said in (("colours:dog", "<dog>"), ("other:cat", "other:cat"), ("colours:", "colours:")):
        reply = await client.post(URL, json={"prompt": "a cat", "model": model})
        assert reply.status_code == 400
        assert said in reply.json()["error"]["message"]


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
async def test_the_longest_prompts_are_drawn_in_every_format(client: httpx.AsyncClient, form: str) -> None:
    longest = {"prompt": "蛙 " * 16_000, "negative_prompt": "ö " * 16_000}
    reply = await client.post(URL, json={**longest, "output_format": form, "num_inference_steps": 1})
    assert reply.status_code == 200, reply.text[:300]
    assert picture_of(reply.json()["data"][0]).size == (64, 64)


@pytest.mark.parametrize(
    ("form", "num_chars", "is_said"), [("jpeg", 32_000, True), ("jpeg", 32_800, False), ("webp", 32_800, True)]
)
async def test_a_picture_that_has_no_room_for_its_whole_infotext_has_none(
    client: httpx.AsyncClient, form: str, num_chars: int, is_said: bool
) -> None:
    prompts = {"prompt": "a" * 32_000, "negative_prompt": "b" * (num_chars - 32_000)}
    reply = await client.post(URL, json={**prompts, "output_format": form, "num_inference_steps": 1})
    said = picture_of(reply.json()["data"][0]).getexif().get_ifd(0x8769).get(0x9286)
    assert (said is not None) is is_said
    assert said is None or "a" * 32_000 in said.removeprefix(b"UNICODE\0").decode("utf-16-be")


async def test_a_strength_and_a_mixture_take_the_versions_that_are_listed(
    client: httpx.AsyncClient, store: MemoryStore, studio: ColourStudio
) -> None:
    first, _, owl = publish(store, "cat", 1.0), publish(store, "cat", 2.0), publish(store, "owl")
    sent = {"prompt": "a <cat:0.5> and <cat+owl>", "concepts": ["cat@1", "owl"]}
    body = (await client.post(URL, json=sent)).json()
    assert body["concepts"] == {"cat@1": first.digest, "owl@1": owl.digest}
    assert studio.requests[-1].prompt == "a <cat@1:0.5> and <cat@1+owl>"


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("a <my fox>", "<my fox> is not a name: did you mean <my-fox>?"),
        ("a <fox:9>", "<fox:9> asks for a strength of 9"),
        ("a <lora:detail:1>", "only concepts can be drawn here"),
    ],
)
async def test_what_looks_like_a_placeholder_and_is_none_is_told_what_it_could_be(
    client: httpx.AsyncClient, prompt: str, told: str
) -> None:
    reply = await client.post(URL, json={"prompt": prompt})
    assert reply.status_code == 400
    assert told in reply.json()["error"]["message"]
    assert reply.json()["error"]["param"] == "prompt"


async def test_a_plain_word_that_is_a_stored_name_gets_a_hint(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "cat")
    await client.get("/v1/concepts")  # what was listed is known
    reply = await client.post(URL, json={"prompt": "a Cat, on a hill."})
    assert reply.json()["notes"] == ["cat is a plain word here: write <cat> for the concept"]
    assert reply.headers["x-textinv-notes"] == "cat is a plain word here: write <cat> for the concept"
    for prompt in ("a <cat>", "a <cat> beside a cat", "a <cat:0.5>", "a hill"):
        reply = await client.post(URL, json={"prompt": prompt})
        assert "notes" not in reply.json()
        assert "x-textinv-notes" not in reply.headers
