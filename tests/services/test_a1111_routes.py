"""A1111's routes, as Open WebUI and other clients call them."""

import asyncio
import base64
import io
import json
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image

from services.config import ServiceConfig
from services.desk import Desk
from tests.services import colour_studio
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from tests.services.pictures import base64_of, png
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


def picture_of(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


async def test_open_webui_verifies_switches_the_model_and_draws(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "dotty-fox")
    options = (await client.get("/sdapi/v1/options", headers={"authorization": "Basic Og=="})).json()
    assert options["sd_model_checkpoint"].startswith("colours")
    posted = await client.post("/sdapi/v1/options", json=options)
    assert posted.status_code == 200
    assert posted.json() is None
    sent = {"prompt": "a dotty-fox.", "batch_size": 2, "width": 64, "height": 64, "steps": 3, "seed": 5}
    answer = (await client.post("/sdapi/v1/txt2img", json=sent)).json()
    assert len(answer["images"]) == 2
    assert picture_of(answer["images"][0]).format == "PNG"
    info = json.loads(answer["info"])
    assert info["all_seeds"] == [5, 6]
    assert "dotty-fox@1" in info["infotexts"][1]
    assert answer["parameters"]["steps"] == 3


async def test_another_checkpoint_is_refused(client: httpx.AsyncClient) -> None:
    await client.get("/readyz")
    assert (await client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "other"})).status_code == 400
    sent = {"prompt": "a", "override_settings": {"sd_model_checkpoint": "other"}}
    assert (await client.post("/sdapi/v1/txt2img", json=sent)).status_code == 400


async def test_fields_without_effect_are_listed_unless_they_hold_their_default(client: httpx.AsyncClient) -> None:
    sent = {"prompt": "a", "tiling": True, "restore_faces": False, "subseed": -1, "enable_hr": True, "whatever": 1}
    reply = await client.post("/sdapi/v1/txt2img", json=sent)
    assert reply.status_code == 200
    assert reply.headers["x-textinv-ignored"] == "enable_hr, tiling, whatever"


async def test_settings_and_fields_that_hold_here_are_not_called_ignored(client: httpx.AsyncClient) -> None:
    checkpoint = (await client.get("/sdapi/v1/options")).json()["sd_model_checkpoint"]
    settings = {"sd_model_checkpoint": checkpoint, "CLIP_stop_at_last_layers": 1, "samples_format": "png"}
    sent = {"prompt": "a", "steps": 1, "override_settings": settings, "inpainting_mask_invert": 0, "styles": None}
    reply = await client.post("/sdapi/v1/txt2img", json=sent | {"denoising_strength": None, "subseed": None})
    assert reply.status_code == 200
    assert "x-textinv-ignored" not in reply.headers
    settings |= {"eta_noise_seed_delta": 31337}
    reply = await client.post("/sdapi/v1/txt2img", json=sent | {"inpainting_mask_invert": 1})
    assert reply.headers["x-textinv-ignored"] == "inpainting_mask_invert, override_settings.eta_noise_seed_delta"
    reply = await client.post("/sdapi/v1/txt2img", json={"prompt": "a", "steps": 1, "override_settings": ["x"]})
    assert reply.headers["x-textinv-ignored"] == "override_settings"


async def test_clip_skip_is_an_override_setting(client: httpx.AsyncClient, studio: ColourStudio) -> None:
    sent = {"prompt": "a", "steps": 1, "override_settings": {"CLIP_stop_at_last_layers": 2}}
    reply = await client.post("/sdapi/v1/txt2img", json=sent)
    assert "x-textinv-ignored" not in reply.headers
    info = json.loads(reply.json()["info"])
    assert info["clip_skip"] == studio.requests[-1].clip_skip == 2
    assert ", Clip skip: 2" in info["infotexts"][0]
    for wrong in (0, "two", 2.5, True):
        sent["override_settings"] = {"CLIP_stop_at_last_layers": wrong}
        refused = await client.post("/sdapi/v1/txt2img", json=sent)
        assert refused.status_code == 400
        assert "CLIP_stop_at_last_layers is" in refused.json()["detail"]


async def test_clip_skip_of_the_base_model_is_an_option_and_stays_what_it_is(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colour_studio, "FACTS", replace(colour_studio.FACTS, clip_skip=2))
    assert (await client.get("/sdapi/v1/options")).json()["CLIP_stop_at_last_layers"] == 2
    posted = await client.post("/sdapi/v1/options", json={"CLIP_stop_at_last_layers": 1})
    assert posted.headers["x-textinv-ignored"] == "CLIP_stop_at_last_layers"


async def test_sdxl_is_read_at_its_own_layer_whatever_is_asked_for_as_a1111_does(
    client: httpx.AsyncClient, studio: ColourStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(colour_studio, "FACTS", replace(colour_studio.FACTS, skips_elsewhere=False))
    sent = {"prompt": "a", "steps": 1, "override_settings": {"CLIP_stop_at_last_layers": 2}}
    reply = await client.post("/sdapi/v1/txt2img", json=sent)
    assert studio.requests[-1].clip_skip is None
    assert reply.headers["x-textinv-ignored"] == "override_settings.CLIP_stop_at_last_layers"


@pytest.mark.parametrize(
    ("sampler", "schedule_type", "drawn", "ignored"),
    [
        ("DPM++ 2M", "Karras", "DPM++ 2M", None),
        ("DPM++ 2M", "automatic", "DPM++ 2M", None),
        ("Euler", "Exponential", "Euler", "scheduler"),
        ("Euler a", "SGM Uniform", "Euler a", "scheduler"),
        ("Euler a", "sgm_uniform", "Euler a", "scheduler"),
        ("DDIM", "karras", "DDIM", "scheduler"),
        (None, "Simple", "DPM++ 2M", "scheduler"),
    ],
)
async def test_a_schedule_type_that_a1111_knows_and_the_sampler_has_not_is_ignored(
    client: httpx.AsyncClient, sampler: str | None, schedule_type: str, drawn: str, ignored: str | None
) -> None:
    sent = {"prompt": "a", "steps": 2, "sampler_name": sampler, "scheduler": schedule_type}
    reply = await client.post("/sdapi/v1/txt2img", json=sent)
    assert reply.status_code == 200
    assert json.loads(reply.json()["info"])["sampler_name"] == drawn
    assert reply.headers.get("x-textinv-ignored") == ignored


async def test_samplers_are_found_by_the_names_that_are_listed(client: httpx.AsyncClient) -> None:
    for sampler in (await client.get("/sdapi/v1/samplers")).json():
        reply = await client.post(
            "/sdapi/v1/txt2img", json={"prompt": "a", "steps": 2, "sampler_name": sampler["name"]}
        )
        assert reply.status_code == 200, sampler
    reply = await client.post("/sdapi/v1/txt2img", json={"prompt": "a", "sampler_name": "magic"})
    assert reply.status_code == 400
    assert "magic" in reply.json()["detail"]


async def test_embeddings_of_another_base_are_listed_as_skipped(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "ours")
    publish(store, "theirs", base_revision="another")
    lists = (await client.get("/sdapi/v1/embeddings")).json()
    assert list(lists["loaded"]) == ["ours"]
    assert list(lists["skipped"]) == ["theirs"]
    assert lists["loaded"]["ours"]["vectors"] == 2
    assert lists["loaded"]["ours"]["shape"] == 8


async def test_a_bare_word_that_names_a_concept_of_another_base_is_plain_text(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "hill")
    publish(store, "castle", base_revision="another")
    reply = await client.post("/sdapi/v1/txt2img", json={"prompt": "a castle on a hill", "steps": 1})
    assert reply.status_code == 200
    assert json.loads(reply.json()["info"])["prompt"] == "a castle on a <hill>"


async def test_a_new_embedding_shows_after_refreshing_and_draws_without(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    await client.get("/sdapi/v1/embeddings")
    publish(store, "fresh")
    assert (await client.post("/sdapi/v1/txt2img", json={"prompt": "<fresh>", "steps": 1})).status_code == 200
    assert (await client.post("/sdapi/v1/refresh-embeddings")).json() is None
    assert "fresh" in (await client.get("/sdapi/v1/embeddings")).json()["loaded"]


async def test_img2img_changes_only_what_the_mask_shows(client: httpx.AsyncClient) -> None:
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    sent = {
        "prompt": "a",
        "init_images": ["data:image/png;base64," + base64_of(png())],
        "mask": base64.b64encode(buffer.getvalue()).decode(),
        "denoising_strength": 0.5,
    }
    answer = (await client.post("/sdapi/v1/img2img", json=sent)).json()
    pixels = np.asarray(picture_of(answer["images"][0]))
    assert (pixels[:, 32:] == (10, 20, 30)).all()
    assert (pixels[:, :32] != (10, 20, 30)).any()
    inverted = (await client.post("/sdapi/v1/img2img", json=sent | {"inpainting_mask_invert": 1})).json()
    assert (np.asarray(picture_of(inverted["images"][0]))[:, :32] == (10, 20, 30)).all()


@pytest.mark.parametrize("invert", [0, 1])
async def test_a_mask_with_transparent_parts_is_its_alpha(client: httpx.AsyncClient, invert: int) -> None:
    mask = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    mask.paste((0, 0, 0, 255), (0, 0, 32, 64))  # a black stroke, as editors draw it
    buffer = io.BytesIO()
    mask.save(buffer, "PNG")
    sent = {
        "prompt": "a",
        "init_images": [base64_of(png())],
        "mask": base64_of(buffer.getvalue()),
        "inpainting_mask_invert": invert,
    }
    answer = (await client.post("/sdapi/v1/img2img", json=sent)).json()
    changed = (np.asarray(picture_of(answer["images"][0])) != (10, 20, 30)).any(-1)
    assert changed[:, :32].all() == (not invert)
    assert changed[:, 32:].any() == bool(invert)


async def test_a_mask_that_is_opaque_everywhere_is_its_white(client: httpx.AsyncClient) -> None:
    black = base64_of(png(mode="RGBA", colour=(0, 0, 0, 255)))
    sent = {"prompt": "a", "init_images": [base64_of(png())], "mask": black}
    answer = (await client.post("/sdapi/v1/img2img", json=sent)).json()
    assert (np.asarray(picture_of(answer["images"][0])) == (10, 20, 30)).all()


@pytest.mark.parametrize(
    "pictures", [[], ["http://127.0.0.1/a.png"], ["not base64!"], [base64.b64encode(b"text").decode()], ["", ""]]
)
async def test_img2img_without_a_picture_is_a_400(client: httpx.AsyncClient, pictures: list[str]) -> None:
    reply = await client.post("/sdapi/v1/img2img", json={"prompt": "a", "init_images": pictures})
    assert reply.status_code == 400
    assert "init_images" in reply.json()["detail"]


async def test_progress_shows_and_interrupt_stops_only_the_callers_own_request(
    store: MemoryStore, desk: Desk, studio: ColourStudio
) -> None:
    studio.step_s = 0.01
    async with client_of(desk) as mine, client_of(desk, "10.0.0.9") as theirs:
        sent = {"prompt": "a", "steps": 100}
        drawing = asyncio.create_task(mine.post("/sdapi/v1/txt2img", json=sent))
        progress = 0.0
        while progress == 0:
            await asyncio.sleep(0.01)
            progress = (await mine.get("/sdapi/v1/progress")).json()["progress"]
        assert 0 < progress < 1
        assert (await theirs.get("/sdapi/v1/progress")).json()["progress"] == 0
        await theirs.post("/sdapi/v1/interrupt")
        await asyncio.sleep(0.02)
        assert not drawing.done()
        assert (await mine.post("/sdapi/v1/interrupt")).json() == {}
        answer = (await drawing).json()
    assert answer["images"] == []
    assert studio.num_left == 1
    assert studio.num_finished == 0


async def test_png_info_reads_back_what_was_drawn(client: httpx.AsyncClient) -> None:
    drawn = (await client.post("/sdapi/v1/txt2img", json={"prompt": "a hill", "seed": 9, "steps": 4})).json()
    info = (await client.post("/sdapi/v1/png-info", json={"image": drawn["images"][0]})).json()
    assert info["parameters"]["Prompt"] == "a hill"
    assert info["parameters"]["Seed"] == "9"
    assert info["info"] == json.loads(drawn["info"])["infotexts"][0]
    assert (await client.post("/sdapi/v1/png-info", json={"image": "AAAA"})).status_code == 400


async def test_fixed_sizes_of_clients_are_resized_to_here_and_refused_elsewhere(
    studio: ColourStudio, store: MemoryStore
) -> None:
    sent = {"prompt": "a", "width": 512, "height": 256, "steps": 1}
    async with client_of(Desk(ServiceConfig(base_model="colours", keys=False), studio, store)) as strict:
        answer = (await strict.post("/sdapi/v1/txt2img", json=sent)).json()
        assert picture_of(answer["images"][0]).size == (512, 256)
        said = json.loads(answer["info"])["extra_generation_params"]
        assert said["Resized to"] == "512x256"
        assert said["Drawn at"] != "512x256"
        refused = await strict.post("/v1/images/generations", json={"prompt": "a", "size": "512x256"})
        assert refused.status_code == 400
        assert "--resize" in refused.json()["error"]["message"]
        wrong = await strict.post("/v1/images/generations", json={"prompt": "a", "steps": 5})
        assert "did you mean 'num_inference_steps'?" in wrong.json()["error"]["message"]
        plain = await strict.post("/v1/images/generations", content='{"prompt": "a"}')
        assert plain.status_code == 200 or "content-type: application/json" in plain.json()["error"]["message"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("route", ["generations", "edits"])
async def test_where_the_operator_chose_so_other_routes_resize_as_well(
    studio: ColourStudio, store: MemoryStore, route: str, streamed: bool
) -> None:
    sent = {"prompt": "a", "size": "512x256", "num_inference_steps": 1, "stream": streamed}
    if route == "edits":
        sent["images"] = [{"image_url": "data:image/png;base64," + base64_of(png())}]
    async with client_of(Desk(ServiceConfig(base_model="colours", keys=False, resize=True), studio, store)) as client:
        reply = await client.post(f"/v1/images/{route}", json=sent)
    assert reply.status_code == 200, reply.text
    last = json.loads(reply.text.split("data: ")[-1]) if streamed else reply.json()
    (picture,) = [last] if streamed else last["data"]
    assert picture_of(picture["b64_json"]).size == (512, 256)
    assert last["size"] == "512x256"


async def test_other_networks_and_and_are_left_out_and_told(client: httpx.AsyncClient, studio: ColourStudio) -> None:
    sent = {"prompt": "a cat AND a dog <lora:detail:0.8>", "negative_prompt": "<hypernet:x:1>", "seed": 1}
    reply = await client.post("/sdapi/v1/txt2img", json=sent)
    assert reply.status_code == 200
    assert studio.requests[-1].prompt == "a cat a dog "
    assert reply.headers["x-textinv-ignored"] == "<hypernet:x:1>, <lora:detail:0.8>, AND"
    assert json.loads(reply.json()["info"])["ignored"] == ["<hypernet:x:1>", "<lora:detail:0.8>", "AND"]


@pytest.mark.parametrize("route", ["refresh-checkpoints", "reload-checkpoint", "unload-checkpoint"])
async def test_what_loads_and_unloads_checkpoints_answers(client: httpx.AsyncClient, route: str) -> None:
    reply = await client.post(f"/sdapi/v1/{route}")
    assert (reply.status_code, reply.json()) == (200, {})
