"""`/v1/concepts`: listing, showing, downloading, deleting, rolling back."""

import io
import time

import httpx
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from services.desk import Desk
from tests.services.conftest import publish
from textinv.embedding import Embedding
from textinv.embedding.formats import EXPORT_FORMATS, readers_of_clips
from textinv.images.strip import make_strip
from textinv.registry import Registry
from textinv.registry.layout import PINNED_FILE
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio


async def test_concepts_are_listed_by_page_and_found_by_a_part_of_their_names(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    names = [f"fox-{index:02d}" for index in range(7)] + ["hen"]
    for name in names:
        publish(store, name)
    listed: list[str] = []
    after: str | None = ""
    while after is not None:
        page = (await client.get("/v1/concepts", params={"limit": 3, "after": after})).json()
        listed += [one["name"] for one in page["data"]]
        after = page["next"]
    assert listed == names
    found = (await client.get("/v1/concepts", params={"search": "EN"})).json()
    assert [one["name"] for one in found["data"]] == ["hen"]
    assert found["total"] == 1
    assert found["has_more"] is False


async def test_concepts_are_listed_by_age_and_by_base_model(client: httpx.AsyncClient, store: MemoryStore) -> None:
    rows = publish(store, "cat").embedding
    publish(store, "ape")
    time.sleep(1.0)  # ages are told in seconds
    for name, base in (("dog", "colours"), ("ant", "other")):
        Registry(store).publish(name, rows, {}, fingerprint=name, base_model=base, base_revision="c0ffee")
    listed: list[str] = []
    after: str | None = ""
    while after is not None:
        params = {"order": "newest", "base_model": "colours", "limit": 2, "after": after}
        page = (await client.get("/v1/concepts", params=params)).json()
        listed += [one["name"] for one in page["data"]]
        after = page["next"]
    assert listed == ["dog", "ape", "cat"]
    assert page["total"] == 3
    others = (await client.get("/v1/concepts", params={"base_model": "other"})).json()
    assert [one["name"] for one in others["data"]] == ["ant"]
    assert others["base_models"] == ["colours", "other"]


async def test_a_concept_is_shown_with_its_record_versions_and_previews(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "cat", 1.0)
    second = publish(store, "cat", 2.0, files={"preview-100.png": b"png"})
    shown = (await client.get("/v1/concepts/cat")).json()
    assert shown["version"] == 2
    assert shown["digest"] == second.digest
    assert shown["record"] == {"steps": 100, "why": "converged"}
    assert [(one["version"], one["current"]) for one in shown["versions"]] == [(1, False), (2, True)]
    assert [one["file"] for one in shown["previews"]] == ["preview-100.png"]


async def test_any_version_is_shown_with_the_scores_that_were_taken_of_it_last(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    first = publish(store, "cat", 1.0)
    publish(store, "cat", 2.0)
    registry = Registry(store)
    key = registry.add_evaluation(first, {"encoders": [{"fidelity": 0.8}]})
    shown = (await client.get("/v1/concepts/cat", params={"version": 1})).json()
    assert (shown["version"], shown["digest"]) == (1, first.digest)
    assert shown["evaluation"] == {"encoders": [{"fidelity": 0.8}]}
    assert [(one["version"], one["current"]) for one in shown["versions"]] == [(1, False), (2, True)]
    assert (await client.get("/v1/concepts/cat")).json()["evaluation"] is None
    store.put(key, b"damaged")
    assert (await client.get("/v1/concepts/cat?version=1")).json()["evaluation"] is None
    assert (await client.get("/v1/concepts/cat", params={"version": 9})).status_code == 404
    assert (await client.get("/v1/concepts/cat", params={"version": 0})).status_code == 400


@pytest.mark.parametrize("name", ["absent", "NOT-A-NAME", "..", "a%00b", "x" * 200, "%F0%9F%A6%8A"])
async def test_a_concept_that_is_not_there_is_a_404(client: httpx.AsyncClient, name: str) -> None:
    for reply in (
        await client.get(f"/v1/concepts/{name}"),
        await client.get(f"/v1/concepts/{name}/embedding"),
        await client.delete(f"/v1/concepts/{name}"),
        await client.post(f"/v1/concepts/{name}/rollback", json={"version": 1}),
    ):
        assert reply.status_code in (404, 405)
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("limit", ["0", "-1", "99999999999999999999", "many"])
async def test_a_page_of_an_impossible_size_is_a_400(client: httpx.AsyncClient, limit: str) -> None:
    assert (await client.get("/v1/concepts", params={"limit": limit})).status_code == 400


@pytest.mark.parametrize("format", EXPORT_FORMATS)
async def test_an_embedding_is_downloaded_in_every_format(
    client: httpx.AsyncClient, store: MemoryStore, format: str
) -> None:
    publish(store, "cat")
    reply = await client.get("/v1/concepts/cat/embedding", params={"format": format})
    assert reply.status_code == 200
    assert "filename=" in reply.headers["content-disposition"]
    assert reply.headers["x-textinv-readers"] == readers_of_clips(Embedding({"text_encoder": torch.ones(2, 8)}), format)
    if format != "a1111-pt":
        (rows,) = safetensors.torch.load(reply.content).values()
        assert tuple(rows.shape) == (2, 8)


@pytest.mark.parametrize(
    ("encoders", "said"),
    [
        (["qwen3_4b"], "no other program reads rows of this family today"),
        (["text_encoder", "text_encoder_out"], "no other program draws it"),
    ],
)
async def test_a_download_that_other_programs_ignore_says_so(
    client: httpx.AsyncClient, store: MemoryStore, encoders: list[str], said: str
) -> None:
    rows = Embedding({name: torch.ones(1, 8) for name in encoders})
    Registry(store).publish("fox", rows, {}, fingerprint="fox", base_model="other", base_revision="c0ffee")
    reply = await client.get("/v1/concepts/fox/embedding")
    assert reply.headers["x-textinv-readers"].startswith(said)


async def test_a_rolled_back_concept_draws_its_old_version_and_a_deleted_one_is_unknown(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    first = publish(store, "cat", 1.0)
    publish(store, "cat", 2.0)
    rolled = (await client.post("/v1/concepts/cat/rollback", json={"version": 1})).json()
    assert (rolled["digest"], rolled["changed"]) == (first.digest, True)
    again = (await client.post("/v1/concepts/cat/rollback", json={"version": 1})).json()
    assert (again["version"], again["changed"]) == (1, False)
    assert again["note"] == "version cat@1 is current already: there is nothing to roll back to"
    drawn = await client.post("/v1/images/generations", json={"prompt": "<cat>"})
    assert drawn.json()["concepts"] == {"cat@1": first.digest}
    current = await client.delete("/v1/concepts/cat/versions/1")
    assert current.status_code == 400
    assert (await client.delete("/v1/concepts/cat/versions/2")).status_code == 200
    assert (await client.delete("/v1/concepts/cat")).json()["deleted"] is True
    assert (await client.get("/v1/concepts")).json()["data"] == []
    assert (await client.post("/v1/images/generations", json={"prompt": "<cat>"})).status_code == 400


async def test_a_damaged_concept_fails_alone(client: httpx.AsyncClient, desk: Desk, store: MemoryStore) -> None:
    publish(store, "good")
    publish(store, "bad")
    store.put("heads/bad@c0ffee.json", b"{}")
    damaged = await client.post("/v1/images/generations", json={"prompt": "<bad>"})
    assert damaged.status_code == 500
    assert damaged.json()["error"]["code"] == "corrupt_object"
    assert (await client.post("/v1/images/generations", json={"prompt": "<good>"})).status_code == 200


async def test_models_show_the_base_model(client: httpx.AsyncClient) -> None:
    (listed,) = (await client.get("/v1/models")).json()["data"]
    assert listed["id"] == "colours"
    assert (await client.get("/v1/models/colours")).json() == listed
    assert (await client.get("/v1/models/dall-e-2")).status_code == 404


async def test_health_and_readiness_are_told_apart(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).json() == {"status": "ok"}
    ready = (await client.get("/readyz")).json()
    assert ready["status"] == "ready"
    assert ready["base_revision"] == "c0ffee"


async def test_an_unknown_path_has_the_shape_of_every_error(client: httpx.AsyncClient) -> None:
    reply = await client.get("/v1/nothing")
    assert reply.status_code == 404
    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
    assert (await client.get("/v1/images/generations")).status_code == 405


async def test_pinned_pictures_are_shown_where_there_are_any(client: httpx.AsyncClient, store: MemoryStore) -> None:
    rows = publish(store, "cat").embedding
    lacking = await client.get("/v1/concepts/cat/pinned")
    assert (lacking.status_code, lacking.json()["error"]["code"]) == (404, "object_not_found")
    strip = make_strip([np.full((16, 16, 3), colour, np.uint8) for colour in (40, 200)])
    Registry(store).publish(
        "cat",
        rows,
        {"pinned": {"prompts": ["a {}", "two {}"], "seed": 0, "num_inference_steps": 10}},
        fingerprint="second",
        base_model="colours",
        base_revision="c0ffee",
        files={PINNED_FILE: strip},
    )
    shown = await client.get("/v1/concepts/cat/pinned", params={"version": 2})
    assert (shown.content, shown.headers["content-type"]) == (strip, "image/jpeg")
    versions = (await client.get("/v1/concepts/cat")).json()["versions"]
    assert [one["pinned"] for one in versions] == [[], ["a {}", "two {}"]]
    thumbnail = await client.get("/v1/concepts/cat/thumbnail")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (16, 16)
