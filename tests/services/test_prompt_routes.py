"""What a page asks beside drawing: what a prompt holds, the settings of a picture, what a concept looks like."""

import base64
from dataclasses import replace

import httpx
import numpy as np
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from tests.services import colour_studio
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from tests.services.job_tools import photo
from textinv.generation.infotext import write_png
from textinv.jobs.previews import PREVIEW_FILE, drop_previews, write_preview
from textinv.registry import Registry
from textinv.spec import image_key
from textinv.store import S3Store
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
BLANK = np.zeros((8, 8, 3), dtype=np.uint8)
FROM_A1111 = (
    "a fox, (wet:1.2)\nNegative prompt: blurry, <b>bold</b>\n"
    "Steps: 30, Sampler: Euler a, Clip skip: 2, CFG scale: 7, Seed: 123, Size: 512x768, "
    "Model hash: 6ce0161689, Model: v1-5"
)


async def read_back(client: httpx.AsyncClient, png: bytes) -> httpx.Response:
    return await client.post("/v1/images/settings", files={"image": ("drawn.png", png, "image/png")})


async def test_a_prompt_tells_which_names_resolve_and_what_is_wrong_with_the_others(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "fox", 1.0)
    publish(store, "fox", 2.0)
    told = (await client.post("/v1/prompts", json={"prompt": "a <fox> with <fox@1> and <nobody> near <fox@9>"})).json()
    found = [(one["name"], one["version"], one["vectors"], one["resolved"]) for one in told["concepts"]]
    assert found == [
        ("fox", 2, 2, True),
        ("fox", 1, 2, True),
        ("nobody", None, None, False),
        ("fox", 9, None, False),
    ]
    assert [one["problem"] is None for one in told["concepts"]] == [True, True, False, False]
    assert "nobody" in told["concepts"][2]["problem"]
    assert told["tokens"] >= 8  # both versions hold two vectors
    assert told["chunks"] == 1


@pytest.mark.parametrize("num_digits", [4000, 5000])
async def test_a_version_that_cannot_be_is_a_400(client: httpx.AsyncClient, num_digits: int) -> None:
    reply = await client.post("/v1/prompts", json={"prompt": "a <fox@" + "9" * num_digits + ">"})
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "prompt"


async def test_a_name_in_another_case_resolves(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "fox")
    (told,) = (await client.post("/v1/prompts", json={"prompt": "a <Fox>"})).json()["concepts"]
    assert (told["name"], told["version"], told["resolved"]) == ("fox", 1, True)


async def test_a_concept_of_another_base_model_does_not_resolve(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "fox", base_revision="other")
    (told,) = (await client.post("/v1/prompts", json={"prompt": "a <fox>"})).json()["concepts"]
    assert told["resolved"] is False
    assert told["problem"] == "version 1 is for another base model, colours"


async def test_a_long_prompt_takes_more_than_one_window(client: httpx.AsyncClient) -> None:
    told = (await client.post("/v1/prompts", json={"prompt": "red " * 200})).json()
    assert told["tokens"] > told["window"]
    assert told["chunks"] > 1
    assert told["concepts"] == []


async def test_a_picture_that_was_drawn_here_gives_its_settings_back(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    fox = publish(store, "fox")
    asked = {"prompt": "a <fox>", "negative_prompt": "blurry", "seed": 7, "num_inference_steps": 3, "guidance_scale": 2}
    asked |= {"guidance_rescale": 0.7, "clip_skip": 2, "instruction": True}
    asked |= {"crop_top_left": "24, 8", "target_size": "48x64"}
    drawn = await client.post("/v1/images/generations", json=asked | {"noise_scheduler": "euler"})
    read = (await read_back(client, base64.b64decode(drawn.json()["data"][0]["b64_json"]))).json()
    assert {name: read[name] for name in asked} == asked
    assert read["noise_scheduler"] == "euler"
    assert read["concepts"] == [{"placeholder": "<fox@1>", "digest": fox.digest[:12]}]


@pytest.mark.parametrize("weighted", [True, False])
async def test_a_picture_is_drawn_again_with_brackets_that_mean_the_same(
    client: httpx.AsyncClient, studio: ColourStudio, weighted: bool
) -> None:
    asked = {"prompt": "a (red:1.3) [hill]", "steps": 1, "seed": 7}
    if weighted:
        (drawn,) = (await client.post("/sdapi/v1/txt2img", json=asked)).json()["images"]
    else:
        drawn = (await client.post("/v1/images/generations", json={"prompt": asked["prompt"], "seed": 7})).json()
        drawn = drawn["data"][0]["b64_json"]
    read = (await read_back(client, base64.b64decode(drawn))).json()
    assert read["attention_weights"] is weighted
    again = {name: value for name, value in read.items() if name not in ("object", "concepts")}
    await client.post("/v1/images/generations", json=again)
    first, second = studio.requests
    assert (
        (first.prompt, first.attention_weights)
        == (second.prompt, second.attention_weights)
        == (
            asked["prompt"],
            weighted,
        )
    )


async def test_a_picture_of_a1111_gives_its_settings_back(client: httpx.AsyncClient) -> None:
    read = (await read_back(client, write_png(BLANK, FROM_A1111))).json()
    assert read == {
        "object": "settings",
        "prompt": "a fox, (wet:1.2)",
        "negative_prompt": "blurry, <b>bold</b>",
        "seed": 123,
        "num_inference_steps": 30,
        "guidance_scale": 7.0,
        "guidance_rescale": 0.0,
        "clip_skip": 2,
        "instruction": False,
        "original_size": None,
        "crop_top_left": None,
        "target_size": None,
        "noise_scheduler": "euler-a",
        "attention_weights": True,
        "size": "512x768",
        "concepts": [],
    }


async def test_others_write_a_layer_of_sdxl_that_they_do_not_read(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colour_studio, "FACTS", replace(colour_studio.FACTS, skips_elsewhere=False))
    assert (await read_back(client, write_png(BLANK, FROM_A1111))).json()["clip_skip"] is None
    ours = f"{FROM_A1111}, Version: textinv 0.1.0"
    assert (await read_back(client, write_png(BLANK, ours))).json()["clip_skip"] == 2


@pytest.mark.parametrize(
    "file", [b"", b"no picture", photo(1), photo(1, form="JPEG")], ids=["empty", "text", "bare", "jpeg"]
)
async def test_a_file_that_does_not_say_how_it_was_drawn_is_refused(client: httpx.AsyncClient, file: bytes) -> None:
    reply = await read_back(client, file)
    assert reply.status_code == 400
    assert reply.json()["error"]["message"]


async def test_a_concept_is_shown_by_its_last_preview_else_by_its_first_picture_else_not_at_all(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    bare = publish(store, "fox", 1.0)
    assert (await client.get("/v1/concepts/fox/thumbnail")).status_code == 404
    store.put(image_key("d" * 64), photo(1))
    record = {"spec": {"pictures": [{"digest": "d" * 64}], "kind": "style"}}
    Registry(store).publish(
        "fox", bare.embedding, record, fingerprint="pictured", base_model="colours", base_revision="c0ffee"
    )
    shown = await client.get("/v1/concepts/fox/thumbnail")
    assert shown.headers["content-type"] == "image/png"
    assert shown.content.startswith(b"\x89PNG")
    for step in (50, 100):
        write_preview(store, "pictured", step, photo(step, form="JPEG"))
    assert (await client.get("/v1/concepts/fox/thumbnail")).content == photo(100, form="JPEG")
    assert (await client.get("/v1/concepts/fox/thumbnail?version=1")).status_code == 404


@pytest.mark.store
async def test_a_concept_is_shown_by_the_picture_beside_its_version_until_it_is_purged(
    config: ServiceConfig, s3_store: S3Store
) -> None:
    desk = Desk(config, ColourStudio(s3_store), s3_store)
    async with client_of(desk) as client:
        for value in (1.0, 2.0):
            publish(s3_store, "fox", value, files={PREVIEW_FILE: photo(int(value), form="JPEG")})
            write_preview(s3_store, f"fox-{value}", 50, photo(50, form="JPEG"))
        for query, number in (("", 2), ("?version=1", 1), ("?version=2", 2)):
            shown = await client.get(f"/v1/concepts/fox/thumbnail{query}")
            assert (shown.headers["content-type"], shown.content) == ("image/jpeg", photo(number, form="JPEG"))
        (told,) = (await client.get("/v1/concepts/fox")).json()["previews"]
        assert httpx.get(told["url"]).content == photo(2, form="JPEG")
        desk.registry.purge_pictures(["fox-2.0"])
        drop_previews(s3_store, "fox-2.0")
        assert (await client.get("/v1/concepts/fox/thumbnail")).status_code == 404
        assert (await client.get("/v1/concepts/fox")).json()["previews"] == []
        assert (await client.get("/v1/concepts/fox/thumbnail?version=1")).status_code == 200
        (artifact,) = (artifact for _, artifact in desk.registry.pictures("fox", 1))
        s3_store.put(artifact.key, b"damaged")
        shown = await client.get("/v1/concepts/fox/thumbnail?version=1")
        assert shown.content == photo(50, form="JPEG")


async def test_the_list_tells_what_filters_and_thumbnails_need_without_the_records(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    rows = publish(store, "fox").embedding
    record = {"spec": {"kind": "style"}, "note": "x" * 1000}
    Registry(store).publish("sketch", rows, record, fingerprint="s", base_model="colours", base_revision="c0ffee")
    fox, sketch = (await client.get("/v1/concepts")).json()["data"]
    assert (fox["kind"], sketch["kind"]) == (None, "style")
    assert (sketch["version"], sketch["num_vectors"], sketch["base_model"]) == (1, 2, "colours")
    assert sketch["thumbnail"] == "/v1/concepts/sketch/thumbnail?version=1"
    assert sketch["created"]
    assert "record" not in sketch
    styles = (await client.get("/v1/concepts", params={"kind": "style"})).json()
    assert [one["name"] for one in styles["data"]] == ["sketch"]
