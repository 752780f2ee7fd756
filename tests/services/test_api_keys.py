"""API keys: roles, prefixes, limits, revoking; and that no secret is stored."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import httpx
import pytest

from services.access.keys import KeyRing
from services.access.roles import Role
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from tests.services.job_tools import photo
from tests.services.unsteady_store import UnsteadyStore
from textinv.errors import AccessError, InputError, StoreUnreachableError
from textinv.jobs.previews import PREVIEW_FILE
from textinv.registry import Registry
from textinv.spec import image_key
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
DRAW = "/v1/images/generations"


@pytest.fixture
def config() -> ServiceConfig:
    return ServiceConfig(base_model="colours", keys=True)


@pytest.fixture
async def guarded(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


async def test_without_a_key_only_health_is_answered(guarded: httpx.AsyncClient) -> None:
    assert (await guarded.get("/healthz")).status_code == 200
    assert (await guarded.get("/readyz")).status_code == 200
    for path in ("/v1/models", "/v1/concepts", "/v1/concepts/cat", "/sdapi/v1/options", "/sdapi/v1/embeddings"):
        reply = await guarded.get(path)
        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "access_denied"
    assert (await guarded.post(DRAW, json={"prompt": "a"})).status_code == 401


@pytest.mark.parametrize(
    "header",
    ["Bearer wrong", "Bearer ti_0123456789ab_" + "x" * 43, "Basic ###", "Basic dTp3cm9uZw==", "Bearer ", "nonsense"],
)
async def test_a_key_that_is_none_of_ours_is_a_401(guarded: httpx.AsyncClient, header: str) -> None:
    assert (await guarded.get("/v1/models", headers={"authorization": header})).status_code == 401


async def test_a_key_works_as_bearer_and_as_the_password_of_basic(
    guarded: httpx.AsyncClient, store: MemoryStore
) -> None:
    text, _ = KeyRing(store).create("me", "generate")
    assert (await guarded.get("/v1/models", headers=bearer(text))).status_code == 200
    assert (await guarded.get("/sdapi/v1/options", auth=("anybody", text))).status_code == 200


@pytest.mark.parametrize(("role", "status"), [("generate", 403), ("submit", 403), ("operate", 200)])
async def test_only_operators_delete(guarded: httpx.AsyncClient, store: MemoryStore, role: Role, status: int) -> None:
    publish(store, "cat")
    text, _ = KeyRing(store).create("me", role)
    assert (await guarded.delete("/v1/concepts/cat", headers=bearer(text))).status_code == status


@pytest.mark.parametrize(("role", "status"), [("generate", 404), ("submit", 200), ("operate", 200)])
async def test_a_training_picture_is_shown_to_those_who_may_submit_and_what_was_drawn_to_all(
    guarded: httpx.AsyncClient, store: MemoryStore, role: Role, status: int
) -> None:
    learned = publish(store, "drawn", files={PREVIEW_FILE: photo(2, form="JPEG")})
    store.put(image_key("d" * 64), photo(1))
    pictured = {"spec": {"pictures": [{"digest": "d" * 64}]}}
    Registry(store).publish(
        "pictured", learned.embedding, pictured, fingerprint="p", base_model="colours", base_revision="c0ffee"
    )
    text, _ = KeyRing(store).create("me", role)
    shown = await guarded.get("/v1/concepts/drawn/thumbnail", headers=bearer(text))
    assert shown.content == photo(2, form="JPEG")
    reply = await guarded.get("/v1/concepts/pictured/thumbnail", headers=bearer(text))
    assert reply.status_code == status
    assert (reply.headers["content-type"] == "image/png") == (status == 200)
    if status == 200:  # the same address shows others less
        assert reply.headers["vary"].lower() == "authorization"


async def test_a_key_bound_to_a_prefix_sees_and_draws_nothing_else(
    guarded: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "acme-cat")
    publish(store, "other-cat")
    text, _ = KeyRing(store).create("acme", "operate", name_prefix="acme-")
    listed = (await guarded.get("/v1/concepts", headers=bearer(text))).json()
    assert [one["name"] for one in listed["data"]] == ["acme-cat"]
    embeddings = (await guarded.get("/sdapi/v1/embeddings", headers=bearer(text))).json()
    assert [*embeddings["loaded"], *embeddings["skipped"]] == ["acme-cat"]
    assert (await guarded.post(DRAW, json={"prompt": "<acme-cat>"}, headers=bearer(text))).status_code == 200
    assert (await guarded.post(DRAW, json={"prompt": "<other-cat>"}, headers=bearer(text))).status_code == 403
    assert (await guarded.get("/v1/concepts/other-cat", headers=bearer(text))).status_code == 403
    assert (await guarded.delete("/v1/concepts/other-cat", headers=bearer(text))).status_code == 403


async def test_to_a_key_bound_to_a_prefix_the_bare_names_of_others_are_plain_words(
    guarded: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "acme-cat")
    publish(store, "castle")
    text, _ = KeyRing(store).create("acme", "generate", name_prefix="acme-")
    sent = {"prompt": "an acme-cat in a castle", "steps": 1}
    reply = await guarded.post("/sdapi/v1/txt2img", json=sent, headers=bearer(text))
    assert reply.status_code == 200
    assert json.loads(reply.json()["info"])["prompt"] == "an <acme-cat> in a castle"
    asked_for = await guarded.post("/sdapi/v1/txt2img", json={"prompt": "a <castle>"}, headers=bearer(text))
    assert asked_for.status_code == 403


async def test_a_revoked_key_is_refused_within_seconds(desk: Desk, store: MemoryStore) -> None:
    desk.key_ring = KeyRing(store, known_s=0.0)
    text, key = KeyRing(store).create("me", "generate")
    async with client_of(desk) as client:
        assert (await client.get("/v1/models", headers=bearer(text))).status_code == 200
        KeyRing(store).revoke(key.id)
        refused = await client.get("/v1/models", headers=bearer(text))
    assert refused.status_code == 401
    assert "revoked" in refused.json()["error"]["message"]


def test_while_the_store_is_down_a_known_key_works_on_for_minutes_and_others_wait_for_it() -> None:
    store, now = UnsteadyStore(), [0.0]
    ring = KeyRing(store, clock=lambda: now[0])
    known, key = KeyRing(store).create("known", "generate")
    unknown, _ = KeyRing(store).create("unknown", "generate")
    assert ring.find(known, "generate").id == key.id
    store.is_down = True
    for now[0] in (60.0, 290.0):
        assert ring.find(known, "generate").id == key.id
        with pytest.raises(AccessError):
            ring.find(known, "operate")
        with pytest.raises(StoreUnreachableError):
            ring.find(unknown, "generate")
    now[0] = 301.0
    with pytest.raises(StoreUnreachableError):
        ring.find(known, "generate")
    store.is_down = False
    KeyRing(store).revoke(key.id)
    with pytest.raises(AccessError, match="revoked"):
        ring.find(known, "generate")


def test_a_store_that_is_down_is_asked_for_known_keys_once_in_a_while() -> None:
    store, now = UnsteadyStore(), [0.0]
    ring = KeyRing(store, clock=lambda: now[0])
    text, key = KeyRing(store).create("me", "generate")
    ring.find(text, "generate")
    store.is_down = True
    now[0] = 60.0
    for _ in range(10):
        ring.find(text, "generate")
    assert store.num_refused == 1
    store.is_down = False
    KeyRing(store).revoke(key.id)
    now[0] = 66.0
    with pytest.raises(AccessError, match="revoked"):
        ring.find(text, "generate")


def test_a_known_key_does_not_wait_for_a_store_that_hangs() -> None:
    store, now = UnsteadyStore(), [0.0]
    ring = KeyRing(store, clock=lambda: now[0], patience_s=0.05)
    text, key = KeyRing(store).create("me", "generate")
    ring.find(text, "generate")
    KeyRing(store).revoke(key.id)
    store.may_answer.clear()
    now[0] = 60.0
    began = time.monotonic()
    for _ in range(20):
        assert ring.find(text, "generate").id == key.id
    assert time.monotonic() - began < 5
    store.may_answer.set()
    now[0] = 66.0
    with pytest.raises(AccessError, match="revoked"):
        ring.find(text, "generate")


async def test_with_the_store_down_callers_with_known_keys_draw_on(desk: Desk) -> None:
    store = UnsteadyStore()
    desk.key_ring = KeyRing(store, known_s=0.0)
    text, _ = KeyRing(store).create("me", "generate")
    async with client_of(desk) as client:
        assert (await client.post(DRAW, json={"prompt": "a"}, headers=bearer(text))).status_code == 200
        store.is_down = True
        assert (await client.post(DRAW, json={"prompt": "a"}, headers=bearer(text))).status_code == 200


async def test_requests_beyond_the_keys_rate_are_sent_away(guarded: httpx.AsyncClient, store: MemoryStore) -> None:
    text, _ = KeyRing(store).create("me", "generate", per_minute=3)
    statuses = [(await guarded.get("/v1/models", headers=bearer(text))).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    reply = await guarded.get("/v1/models", headers=bearer(text))
    assert 1 <= int(reply.headers["retry-after"]) <= 20


async def test_requests_beyond_the_keys_concurrency_are_sent_away(
    guarded: httpx.AsyncClient, store: MemoryStore, studio: ColourStudio
) -> None:
    studio.step_s = 0.01
    text, _ = KeyRing(store).create("me", "generate", concurrency=1)

    async def draw(stream: bool) -> int:
        body = {"prompt": "a", "num_inference_steps": 10, "stream": stream}
        return (await guarded.post(DRAW, json=body, headers=bearer(text))).status_code

    assert sorted(await asyncio.gather(draw(False), draw(False))) == [200, 429]
    assert sorted(await asyncio.gather(draw(True), draw(True))) == [200, 429]
    assert await draw(False) == 200


def test_the_store_never_holds_a_secret(store: MemoryStore) -> None:
    text, key = KeyRing(store).create("me", "operate")
    secret = text.removeprefix(f"ti_{key.id}_")
    for info in store.list(""):
        assert secret.encode() not in store.get(info.key).body
    assert [one.id for one in KeyRing(store).list()] == [key.id]


def test_a_key_that_was_revoked_keeps_the_time_of_it(store: MemoryStore) -> None:
    _, key = KeyRing(store).create("me", "generate")
    first, note = KeyRing(store).revoke(key.id)
    assert note is None
    earlier = first.model_copy(update={"revoked": "2026-01-01T00:00:00+00:00"})
    store.put(f"keys/{key.id}.json", earlier.model_dump_json().encode())
    again, note = KeyRing(store).revoke(key.id)
    assert again == earlier == next(KeyRing(store).list())
    assert note == f"key {key.id} is revoked already: there is nothing to revoke (since 2026-01-01T00:00:00+00:00)"


def test_the_beginning_of_a_keys_id_is_enough_where_it_is_of_one_key(store: MemoryStore) -> None:
    _, key = KeyRing(store).create("me", "generate")
    twin = key.model_copy(update={"id": key.id[:6] + ("0" if key.id[6] != "0" else "1") * 6})
    store.put(f"keys/{twin.id}.json", twin.model_dump_json().encode())
    with pytest.raises(InputError, match="2 key ids begin"):
        KeyRing(store).revoke(key.id[:6])
    assert KeyRing(store).revoke(key.id[:7])[0].id == key.id
    with pytest.raises(InputError, match="there is no key"):
        KeyRing(store).revoke("zz")
