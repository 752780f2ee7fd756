"""Guessed concepts with the real engine on the demo base: predicted, and drawn as stored ones are."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio
from services.drawing.guesser import Guesser
from services.teaching.learning import Learning
from tests.guess.small_guess import small_guess
from tests.services.conftest import client_of
from tests.services.job_tools import IdleFleet, photo
from tests.services.pictures import base64_of, pixels_of
from textinv.errors import OverloadedError
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.guess.guess import open_guess
from textinv.images import decode_picture
from textinv.models.base import BaseModel
from textinv.models.load import GUESS_FILE
from textinv.registry import Registry
from textinv.registry.guesses import current_guess, guess_key, load_guess, publish_guess
from textinv.settings import OWN_BASE_MODELS
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
GUESS, DRAW = "/v1/concepts/guess", "/v1/images/generations"


@pytest.fixture
def real_studio(emoji: BaseModel, store: MemoryStore) -> Iterator[EngineStudio]:
    cache = EmbeddingCache(Registry(store), revalidate_s=0.0)
    studio = EngineStudio(Engine(emoji, max_batch=4), cache, Guesser(emoji, store))
    studio.start()
    yield studio
    studio.close()


@pytest.fixture
def desk(real_studio: EngineStudio, store: MemoryStore, emoji: BaseModel) -> Desk:
    publish_guess(store, small_guess(emoji))
    return Desk(ServiceConfig(keys=False), real_studio, store, IdleFleet())


async def guess(client: httpx.AsyncClient, name: str, *seeds: int, **fields: Any) -> dict[str, Any]:
    images = [base64_of(photo(seed)) for seed in seeds]
    reply = await client.post(GUESS, json={"name": name, "images": images, **fields})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def draw(client: httpx.AsyncClient, prompt: str, status: int = 200) -> Any:
    reply = await client.post(DRAW, json={"prompt": prompt, "seed": 1, "num_inference_steps": 2})
    assert reply.status_code == status, reply.text
    if status != 200:
        return reply.json()["error"]["message"]
    return pixels_of(reply.json()["data"][0]["b64_json"]).astype(int)


async def test_rows_are_those_of_the_guess_and_the_pictures(client: httpx.AsyncClient, emoji: BaseModel) -> None:
    pixels = [decode_picture(photo(seed), "photo").pixels for seed in (1, 2)]
    expected = open_guess(small_guess(emoji), emoji).rows(pixels, "style", 3)
    told = await guess(client, "my-crab", 1, 2, kind="style", num_vectors=3)
    assert told["digest"] == expected.digest
    assert (await guess(client, "my-crab", 2, kind="style", num_vectors=3))["digest"] != expected.digest


async def test_the_same_seed_gives_the_same_picture_alone_and_in_a_batch(client: httpx.AsyncClient) -> None:
    await guess(client, "my-crab", 1, class_word="crab")
    await guess(client, "my-owl", 2, num_vectors=2)
    alone = await draw(client, "a <my-crab@guess>")
    prompts = ("a <my-crab@guess>", "a <my-owl@guess>", "<my-crab@guess> and <my-owl@guess>", "a frog")
    together = await asyncio.gather(*(draw(client, prompt) for prompt in prompts))
    assert np.abs(together[0] - alone).max() <= 1
    assert all(np.abs(one - alone).max() > 1 for one in together[1:])


async def test_two_callers_of_one_name_draw_their_own_in_one_batch(client: httpx.AsyncClient, desk: Desk) -> None:
    async with client_of(desk, "10.0.0.2") as other:
        await guess(client, "my-crab", 1)
        await guess(other, "my-crab", 2, num_vectors=2)
        alone = [await draw(one, "a <my-crab@guess>") for one in (client, other)]
        together = await asyncio.gather(*(draw(one, "a <my-crab@guess>") for one in (client, other)))
    assert all(np.abs(one - before).max() <= 1 for one, before in zip(together, alone, strict=True))
    assert np.abs(alone[0] - alone[1]).max() > 1


async def test_strength_needs_a_class_word_and_mixing_as_many_vectors(client: httpx.AsyncClient) -> None:
    await guess(client, "my-crab", 1, class_word="crab")
    whole, none = await draw(client, "a <my-crab@guess>"), await draw(client, "a <my-crab@guess:0>")
    half = await draw(client, "a <my-crab@guess:0.5>")
    assert np.abs(await draw(client, "a <my-crab@guess:1>") - whole).max() <= 1
    assert min(np.abs(half - whole).max(), np.abs(half - none).max()) > 1
    await guess(client, "nameless", 2)
    said = await draw(client, "a <nameless@guess:0.7>", 400)
    assert "<nameless@guess> cannot be drawn at a strength: nobody said its class word; guess it with one" in said
    assert np.abs(await draw(client, "a <my-crab@guess+nameless@guess>") - whole).max() > 1
    await guess(client, "short", 2, num_vectors=2)
    assert "same num_vectors" in await draw(client, "a <my-crab@guess+short@guess>", 400)


async def test_so_many_wait_for_a_guess_and_no_more(emoji: BaseModel, store: MemoryStore) -> None:
    file = small_guess(emoji)
    publish_guess(store, file)
    guesser = Guesser(emoji, store)
    asked = [guesser.guess(file.digest, [photo(1)], "object", 1) for _ in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    guesser.close()
    assert sum(isinstance(one, bytes) for one in answers) == 16
    assert sum(isinstance(one, OverloadedError) for one in answers) == 4


async def test_the_guess_in_the_base_models_folder_is_put_into_the_store_and_used(
    emoji: BaseModel, real_studio: EngineStudio, store: MemoryStore, tmp_path: Path
) -> None:
    """A replica reads the store only; jobs that start from a guess find the same one."""
    shipped, folder = small_guess(emoji, 1), tmp_path / "base"
    folder.mkdir()
    for part in Path(OWN_BASE_MODELS["emoji"]).iterdir():
        if part.name != GUESS_FILE:
            (folder / part.name).symlink_to(part)
    (folder / GUESS_FILE).write_bytes(shipped.data)
    config = ServiceConfig(base_model=str(folder), keys=False)
    async with client_of(Desk(config, real_studio, store, IdleFleet())) as client:
        assert (await client.get("/v1/models")).json()["data"][0]["guess"] == shipped.digest
        assert not store.exists(guess_key(shipped.digest))
        assert (await guess(client, "my-crab", 1))["guess"] == shipped.digest
    assert load_guess(store, shipped.digest) == shipped
    assert current_guess(store, emoji.revision) is None
    base = Learning(config, store).base(str(folder), await real_studio.facts())
    assert base.guess_file == str(folder / GUESS_FILE)
