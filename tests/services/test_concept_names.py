"""Every way in which clients name a concept draws that concept, or says why it cannot."""

import json

import httpx
import pytest

from services.desk import Desk
from services.drawing.remote_studio import pinned
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import publish
from textinv.generation.request import GenerateRequest
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
TXT2IMG, GENERATIONS = "/sdapi/v1/txt2img", "/v1/images/generations"


async def drawn(client: httpx.AsyncClient, prompt: str, negative_prompt: str = "") -> tuple[str, dict[str, str]]:
    """Draw it on A1111's route; the prompt that was drawn, and the concepts that it used."""
    reply = await client.post(TXT2IMG, json={"prompt": prompt, "negative_prompt": negative_prompt, "steps": 1})
    assert reply.status_code == 200, reply.text
    info = json.loads(reply.json()["info"])
    return info["prompt"], info["extra_generation_params"].get("TI", {})


@pytest.mark.parametrize("spelling", ["<cat@1>", "<Cat@1>", "embedding:cat@1", "embedding:Cat@1", "cat@1", "Cat@1"])
async def test_a_version_is_drawn_however_it_is_written(
    client: httpx.AsyncClient, store: MemoryStore, spelling: str
) -> None:
    first, _ = publish(store, "cat", 1.0), publish(store, "cat", 2.0)
    assert await drawn(client, f"a {spelling} x") == ("a <cat@1> x", {"cat@1": first.digest})


@pytest.mark.parametrize("spelling", ["<cat>", "<Cat>", "<CAT>", "embedding:cat", "embedding:Cat", "cat", "Cat"])
async def test_a_name_is_drawn_however_it_is_written(
    client: httpx.AsyncClient, store: MemoryStore, spelling: str
) -> None:
    cat = publish(store, "cat")
    assert await drawn(client, f"a ({spelling}:1.2)") == ("a (<cat>:1.2)", {"cat@1": cat.digest})


@pytest.mark.parametrize("spelling", ["<cat>", "<Cat>", "<CAT@1>", "embedding:Cat"])
async def test_a_name_in_any_case_is_drawn_on_the_openai_route(
    client: httpx.AsyncClient, store: MemoryStore, spelling: str
) -> None:
    cat = publish(store, "cat")
    reply = await client.post(GENERATIONS, json={"prompt": f"a {spelling}", "num_inference_steps": 1})
    assert reply.json()["concepts"] == {"cat@1": cat.digest}


async def test_a_listed_version_goes_for_a_name_in_any_case(client: httpx.AsyncClient, store: MemoryStore) -> None:
    first, _ = publish(store, "cat", 1.0), publish(store, "cat", 2.0)
    body = {"prompt": "a <Cat>", "concepts": ["cat@1"], "num_inference_steps": 1}
    assert (await client.post(GENERATIONS, json=body)).json()["concepts"] == {"cat@1": first.digest}


@pytest.mark.parametrize("url", [TXT2IMG, GENERATIONS])
async def test_an_unknown_name_in_brackets_is_a_400_in_any_case(client: httpx.AsyncClient, url: str) -> None:
    reply = await client.post(url, json={"prompt": "a <Nobody>"})
    assert reply.status_code == 400
    assert "'nobody'" in reply.json()["detail"]


async def test_a_deleted_name_without_brackets_is_plain_text(
    desk: Desk, client: httpx.AsyncClient, store: MemoryStore, studio: ColourStudio
) -> None:
    cat, _, _ = publish(store, "cat"), publish(store, "hill"), publish(store, "tree")
    assert (await drawn(client, "a cat on a hill"))[0] == "a <cat> on a <hill>"
    for name in ("hill", "tree"):  # elsewhere, so that the list here still has them
        Registry(store).remove(name)
    assert {one.name for one in desk.concepts.all()} == {"cat", "hill", "tree"}
    assert await drawn(client, "a cat on a hill, hill@1", "tree") == (
        "a <cat> on a hill, hill@1",
        {"cat@1": cat.digest},
    )
    assert studio.requests[-1].negative_prompt == "tree"


@pytest.mark.parametrize("prompt", ["a <hill>", "hill, <hill>", "embedding:hill", "hill and <Hill@1>"])
async def test_a_deleted_name_that_is_written_as_one_is_a_400(
    client: httpx.AsyncClient, store: MemoryStore, prompt: str
) -> None:
    publish(store, "hill")
    await drawn(client, "a hill")
    Registry(store).remove("hill")
    reply = await client.post(TXT2IMG, json={"prompt": prompt})
    assert reply.status_code == 400
    assert "hill" in reply.json()["detail"]


async def test_a_version_that_a_stored_name_does_not_have_is_a_400_without_brackets_too(
    client: httpx.AsyncClient, store: MemoryStore
) -> None:
    publish(store, "hill")
    reply = await client.post(TXT2IMG, json={"prompt": "a hill@7"})
    assert reply.status_code == 400
    assert "version 7 of concept 'hill'" in reply.json()["detail"]


def test_a_name_in_any_case_is_pinned_where_a_request_is_drawn_again_elsewhere() -> None:
    again = pinned(GenerateRequest("a <Cat>", "<CAT@1>, embedding:Cat"), {"cat@3": "d" * 64, "cat@1": "e" * 64})
    assert (again.prompt, again.negative_prompt) == ("a <cat@3>", "<cat@1>, <cat@3>")


async def test_the_delay_of_new_names_without_brackets_is_told(desk: Desk, client: httpx.AsyncClient) -> None:
    told = (await client.get("/openapi.json")).json()["paths"][TXT2IMG]["post"]["description"]
    assert "A new name works at once" in told
