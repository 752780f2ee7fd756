"""A service on a real Serve with a store of its own: what is hostile, broken or gone fails alone; drawing goes on."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest

from services.config import ServiceConfig
from tests.services.on_serve import draw, publish_word, serving
from tests.services.pictures import base64_of, black_png, decompression_bomb, pixels_of, png
from textinv.registry.layout import head_key, heads_prefix
from textinv.store import EmbeddedServer, connect_store

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.load]
URL = "/v1/images/generations"


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A server that may be stopped."""
    server = EmbeddedServer(tmp_path_factory.mktemp("own"))
    server.up()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def service(local_ray: str, own_store: EmbeddedServer) -> Iterator[str]:
    config = ServiceConfig(
        store=own_store.up(), keys=False, device="cpu", max_batch=8, num_cpus=0.5, max_body_bytes=4_000_000
    )
    with serving(config) as url:
        yield url


@contextmanager
def drawing_meanwhile(service: str) -> Iterator[None]:
    """Have a long request drawn meanwhile; it must be under way in the end, and then come out as it does alone."""
    fields = {"seed": 3, "num_inference_steps": 150, "n": 2}
    with ThreadPoolExecutor(1) as pool:
        drawing: Future[httpx.Response] = pool.submit(draw, service, **fields)
        time.sleep(0.5)
        yield
        assert not drawing.done(), "what was tested took longer than the request beside it"
        reply = drawing.result()
    assert reply.status_code == 200
    assert len(reply.json()["data"]) == 2


def error_of(reply: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = reply.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def test_with_the_store_down_a_cold_concept_is_a_503_and_works_again_when_it_is_back(
    service: str, own_store: EmbeddedServer
) -> None:
    for name, word in (("warm", "frog"), ("cold", "apple")):
        publish_word(own_store.up(), name, word)
    assert draw(service, prompt="<warm>", num_inference_steps=1).status_code == 200
    before = own_store.settings()
    with drawing_meanwhile(service):
        own_store.kill()
        cold = draw(service, prompt="<cold>", num_inference_steps=1)
        assert cold.status_code == 503
        assert error_of(cold)["code"] == "store_unreachable"
        assert int(cold.headers["retry-after"]) >= 1
    assert draw(service, prompt="<warm>", num_inference_steps=1).status_code == 200
    assert httpx.get(f"{service}/readyz", timeout=60).status_code == 503
    assert own_store.up() == before
    assert draw(service, prompt="<cold>", num_inference_steps=1).status_code == 200


def hostile_a1111(samplers: Sequence[str], schedule_types: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Requests that are odd, or no good, each with its route."""
    for sampler in samplers:
        for steps in (1, 2, 3):
            yield "txt2img", {"sampler_name": sampler, "steps": steps}
        for schedule_type in (*schedule_types, "Magic"):
            yield "txt2img", {"sampler_index": sampler, "scheduler": schedule_type, "steps": 1}
        for strength in (0, 0.01, 1):
            edit = {"init_images": [base64_of(png())], "denoising_strength": strength}
            yield "img2img", {"sampler_name": sampler, "steps": 2, **edit}
    for width, height in ((16_384, 16_384), (64, 16_384), (8, 8), (65, 64), (16, 256), (0, 0), (-64, 64)):
        yield "txt2img", {"width": width, "height": height, "steps": 1}
        yield "img2img", {"width": width, "height": height, "steps": 1, "init_images": [base64_of(png())]}
    for fields in (
        {"steps": -1},
        {"steps": 10**12},
        {"cfg_scale": 0},
        {"cfg_scale": 100},
        {"cfg_scale": -1},
        {"batch_size": 10**6},
        {"seed": 2**63},
        {"prompt": "(" * 500 + "a" + ":9)" * 500},
        {"prompt": "(a:1e300)", "negative_prompt": "(b:-5)"},
        {"prompt": "[" * 5000},
        {"prompt": "word " * 5000},
        {"prompt": ""},
    ):
        yield "txt2img", {"steps": 2, **fields}
    for picture in (png(1, 1), png(3000, 2), png(64, 64, "L", (9,)), decompression_bomb(), b"GIF89a"):
        yield "img2img", {"init_images": [base64_of(picture)], "steps": 1}


def test_the_engine_draws_or_refuses_whatever_is_asked_by_a1111s_routes(service: str) -> None:
    with httpx.Client(base_url=f"{service}/sdapi/v1", timeout=120) as client, ThreadPoolExecutor(8) as pool:
        samplers = [one["name"] for one in client.get("/samplers").json()]
        schedule_types = [one["label"] for one in client.get("/schedulers").json()]
        sent = [
            (route, {"prompt": "a frog", "seed": 1, **fields})
            for route, fields in hostile_a1111(samplers, schedule_types)
        ]
        replies = pool.map(lambda one: client.post(one[0], json=one[1]), sent)
        drawn = 0
        for (route, fields), reply in zip(sent, replies, strict=True):
            assert reply.status_code in (200, 400), (route, str(fields)[:200], reply.status_code, reply.text[:300])
            drawn += reply.status_code == 200
            if reply.status_code == 400:
                assert error_of(reply)["type"] == "invalid_request_error"
    assert drawn > len(samplers), "hardly anything was drawn"


def test_corrupt_foreign_and_deleted_concepts_fail_alone(service: str, own_store: EmbeddedServer) -> None:
    settings = own_store.up()
    store = connect_store(settings)
    for name in ("fine", "garbled", "swapped", "deleted"):
        publish_word(settings, name, "frog")
    head_of = {name: next(iter(store.list(heads_prefix(name)))).key for name in ("fine", "garbled", "swapped")}
    store.put(head_of["garbled"], b"\x00not json")
    head = json.loads(store.get(head_of["swapped"]).body)
    rows = bytearray(base64.b64decode(head["embedding"]))
    rows[-1] ^= 1
    store.put(head_of["swapped"], json.dumps(head | {"embedding": base64.b64encode(rows).decode()}).encode())
    foreign = json.loads(store.get(head_of["fine"]).body)
    foreign["entry"] |= {"name": "foreign", "base_model": "another-base", "base_revision": "0" * 64}
    store.put(head_key("foreign", "0" * 64), json.dumps(foreign).encode())
    assert draw(service, prompt="<deleted>", num_inference_steps=1).status_code == 200
    with drawing_meanwhile(service):
        assert httpx.delete(f"{service}/v1/concepts/deleted", timeout=60).status_code == 200
        found = {name: draw(service, prompt=f"<{name}>", num_inference_steps=1) for name in ("garbled", "swapped")}
        assert {name: error_of(reply)["code"] for name, reply in found.items()} == dict.fromkeys(
            found, "corrupt_object"
        )
        other = draw(service, prompt="<foreign>", num_inference_steps=1)
        assert other.status_code == 400
        assert "another-base" in error_of(other)["message"]
    time.sleep(3)  # heads are asked for again after so long
    gone = draw(service, prompt="<deleted>", num_inference_steps=1)
    assert gone.status_code == 400
    assert error_of(gone)["code"] == "unknown_concept"
    assert draw(service, prompt="<fine>", num_inference_steps=1).status_code == 200


def test_hostile_requests_are_refused_while_others_are_drawn(service: str) -> None:
    bodies: list[Any] = [
        {"prompt": "x" * 1_000_000},
        {"prompt": "a\x00b"},
        {"prompt": "a", "negative_prompt": "\x1b]0;a\x07"},
        {"prompt": "a", "n": 10**9},
        {"prompt": "a", "size": "99999x99999"},
        {"prompt": "a", "size": "8192x8192"},
        {"prompt": "a", "num_inference_steps": -5},
        {"prompt": "a", "seed": 2**70},
        b'{"prompt": "a", "guidance_scale": NaN}',
        b'{"prompt": "a", "guidance_scale": 1e999}',
        b"{" * 100_000,
    ]
    edits: list[Any] = [
        {"prompt": "a", "images": [{"image_url": f"data:image/png;base64,{base64_of(data)}"}]}
        for data in (decompression_bomb(), black_png(5000, 5000), png()[:60], b"GIF89a")
    ]
    with drawing_meanwhile(service), httpx.Client(base_url=service, timeout=60) as client:
        for path, sent in [(URL, body) for body in bodies] + [("/v1/images/edits", body) for body in edits]:
            content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
            reply = client.post(path, content=content, headers={"content-type": "application/json"})
            assert reply.status_code == 400, (str(sent)[:80], reply.text[:200])
            assert error_of(reply)["type"] == "invalid_request_error"
        oversized = {"prompt": "a", "images": [{"image_url": "data:image/png;base64," + "A" * 5_000_000}]}
        reply = client.post("/v1/images/edits", json=oversized)
        assert reply.status_code == 413
        assert error_of(reply)["code"] == "body_too_large"


def test_the_official_client_streams_over_real_http(service: str, own_store: EmbeddedServer) -> None:
    publish_word(own_store.up(), "streamed", "frog")

    async def stream() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0) as client:
            events = await client.images.generate(
                prompt="a <streamed>",
                model="emoji",
                stream=True,
                partial_images=2,
                extra_body={"num_inference_steps": 30, "seed": 4},
            )
            return [(time.monotonic(), event) async for event in events]

    received = asyncio.run(stream())
    kinds = [event.type for _, event in received]
    assert kinds == ["image_generation.partial_image"] * 2 + ["image_generation.completed"]
    assert received[-1][0] - received[0][0] > 0.1, "the previews came with the picture, not before it"
    plain = draw(service, prompt="a <streamed>", num_inference_steps=30, seed=4).json()["data"][0]["b64_json"]
    assert abs(pixels_of(received[-1][1].b64_json).astype(int) - pixels_of(plain)).max() <= 1


def test_a_stream_of_which_the_client_leaves_is_given_up(service: str) -> None:
    body = {"prompt": "a frog", "stream": True, "partial_images": 1, "num_inference_steps": 150, "n": 8}
    with httpx.stream("POST", f"{service}{URL}", json=body, timeout=60) as reply:
        assert reply.status_code == 200
    began = time.monotonic()
    assert draw(service, num_inference_steps=1).status_code == 200
    assert time.monotonic() - began < 10
