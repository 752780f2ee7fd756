"""What a browser may be made to send by a page elsewhere, and what its answers may do in it."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest

from services.access.keys import KeyRing
from services.api.app import make_app
from services.api.gate import OTHER_BODIES
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from tests.services.job_tools import IdleFleet, photo
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
DRAIN = "/v1/fleet/drain"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.fixture
def desk(config: ServiceConfig, studio: ColourStudio, store: MemoryStore) -> Desk:
    return Desk(config, studio, store, IdleFleet())


@pytest.fixture
async def client(desk: Desk) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(desk) as client:
        yield client


def draining(desk: Desk) -> bool:
    return desk.learning.stored_fleet.settings().draining


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", "", "["]
)
async def test_without_keys_a_host_that_may_be_anybodys_name_is_refused(client: httpx.AsyncClient, host: str) -> None:
    for path in ("/healthz", "/", "/v1/concepts", "/nowhere"):
        reply = await client.get(path, headers={"host": host})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "access_denied")


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "LOCALHOST:8000", "10.1.2.3:80"])
async def test_addresses_and_localhost_are_answered(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/healthz", headers={"host": host})).status_code == 200


async def test_names_that_the_operator_gave_are_answered_and_with_keys_all_are(
    studio: ColourStudio, store: MemoryStore
) -> None:
    for config, others in (
        (ServiceConfig(base_model="colours", keys=False, hosts=("draw.example",)), 403),
        (ServiceConfig(base_model="colours", keys=True), 200),
    ):
        async with client_of(Desk(config, studio, store)) as client:
            assert (await client.get("/healthz", headers={"host": "draw.example:80"})).status_code == 200
            assert (await client.get("/healthz", headers={"host": "other.example"})).status_code == others


@pytest.mark.parametrize(
    "sent",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "null"},
    ],
)
async def test_a_page_elsewhere_changes_nothing(client: httpx.AsyncClient, desk: Desk, sent: Mapping[str, str]) -> None:
    assert (await client.post(DRAIN, headers=sent)).status_code == 403
    assert not draining(desk)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"origin": "http://localhost"},
        {"origin": "http://localhost:80", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
async def test_programs_and_the_page_of_the_service_do(
    client: httpx.AsyncClient, desk: Desk, sent: Mapping[str, str]
) -> None:
    assert (await client.post(DRAIN, headers=sent)).status_code == 200
    assert draining(desk)


async def test_a_page_that_the_operator_allowed_does(studio: ColourStudio, store: MemoryStore) -> None:
    config = ServiceConfig(base_model="colours", keys=False, cors_origins=("https://page.example",))
    sent = {"origin": "https://page.example", "sec-fetch-site": "cross-site"}
    async with client_of(Desk(config, studio, store, IdleFleet())) as client:
        assert (await client.post(DRAIN, headers=sent)).status_code == 200


async def test_every_route_that_changes_something_refuses_other_pages_and_bodies_that_forms_can_send(
    client: httpx.AsyncClient, desk: Desk, store: MemoryStore
) -> None:
    every = make_app(desk).openapi()["paths"].items()
    changing = [(method.upper(), path) for path, methods in every for method in methods if method != "get"]
    assert {path for _, path in changing} >= {DRAIN, "/v1/jobs", "/v1/images", "/sdapi/v1/txt2img", *OTHER_BODIES}
    before = [info.etag for info in store.list("")]
    for method, path in changing:
        foreign = await client.request(method, path, headers={"sec-fetch-site": "cross-site"})
        assert foreign.status_code == 403, path
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
            if "*" in OTHER_BODIES.get(path, ()):
                continue
            reply = await client.request(method, path, content=b'{"prompt": "a"}', headers={"content-type": kind})
            assert (reply.status_code, reply.json()["error"]["code"]) == (415, "unsupported_media_type"), path
    assert [info.etag for info in store.list("")] == before


async def test_every_answer_says_that_it_is_what_it_says_and_no_page(
    client: httpx.AsyncClient, studio: ColourStudio, store: MemoryStore
) -> None:
    publish(store, "cat", files={"preview-50.jpg": photo(2, form="JPEG")})
    cat = "/v1/concepts/cat"
    paths = ("/healthz", cat, f"{cat}/thumbnail", f"{cat}/embedding", "/nowhere", "/openapi.json")
    replies = [await client.get(path) for path in paths]
    replies.append(await client.post("/v1/images/generations", json={"prompt": "a", "stream": True}))
    replies.append(await client.get("/healthz", headers={"host": "evil.example"}))
    for reply in replies:
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["content-security-policy"].startswith("default-src 'none';")
        assert "script-src" not in reply.headers["content-security-policy"]
    for path in ("/", "/docs", "/redoc"):
        shown = await client.get(path)
        assert (shown.status_code, shown.headers["x-content-type-options"]) == (200, "nosniff")
        assert "script-src 'self'" in shown.headers["content-security-policy"]


@pytest.mark.parametrize("file", ["a.svg", "preview.png", "preview.jpg"])
async def test_what_is_no_picture_of_pixels_is_not_served_as_one(
    client: httpx.AsyncClient, store: MemoryStore, file: str
) -> None:
    publish(store, "crab", files={file: SVG})
    assert (await client.get("/v1/concepts/crab/thumbnail")).status_code == 404
    shown = (await client.get("/v1/concepts/crab")).json()
    assert [one["file"] for one in shown["previews"]] == ([] if file == "a.svg" else [file])


async def test_a_picture_has_the_type_of_its_bytes_whatever_its_name_says(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "crab", files={"a.svg": SVG, "b.png": photo(1, form="JPEG")})
    reply = await client.get("/v1/concepts/crab/thumbnail")
    assert (reply.headers["content-type"], reply.content) == ("image/jpeg", photo(1, form="JPEG"))


async def test_keys_do_not_open_the_gate(studio: ColourStudio, store: MemoryStore) -> None:
    text, _ = KeyRing(store).create("me", "admin")
    config = ServiceConfig(base_model="colours", keys=True)
    async with client_of(Desk(config, studio, store, IdleFleet())) as client:
        sent = {"sec-fetch-site": "cross-site"}
        assert (await client.post(DRAIN, headers=sent, auth=("browser", text))).status_code == 403
