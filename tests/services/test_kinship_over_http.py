"""The `bases` field over real routes and the real engine: what was learned on another base model, drawn or refused."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio
from tests.models.tiny_bases import make_base
from tests.services.conftest import client_of
from textinv.embedding import Embedding
from textinv.generation.cache import EmbeddingCache
from textinv.generation.engine import Engine
from textinv.generation.infotext import read_infotext, read_png_infotext
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
URL = "/v1/images/generations"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> BaseModel:
    return load_base_model(str(make_base("sd1", tmp_path_factory.mktemp("tiny"))), device="cpu", dtype="float32")


@pytest.fixture
def desk(tiny: BaseModel) -> Iterator[Desk]:
    """Serves <kin>, learned on a base of the family, <stranger>, of another, and <found>, whose base nobody knows."""
    store = MemoryStore()
    registry = Registry(store, tiny.revision)
    row = Embedding({"text_encoder": tiny.token_rows("text_encoder", "fox")[:1]})
    for name, base, revision, family in (
        ("kin", "anime", "a" * 64, "sd1"),
        ("stranger", "depth", "b" * 64, "sd2"),
        ("found", "", "", None),
    ):
        record: dict[str, Any] = {} if family is None else {"base_model": {"id": base, "family": family}}
        registry.publish(name, row, record, fingerprint=name, base_model=base, base_revision=revision)
    studio = EngineStudio(Engine(tiny, max_batch=2), EmbeddingCache(registry, revalidate_s=0.0))
    studio.start()
    yield Desk(ServiceConfig(keys=False), studio, store)
    studio.close()


async def drawn(desk: Desk, name: str, **fields: Any) -> httpx.Response:
    async with client_of(desk) as client:
        return await client.post(URL, json={"prompt": f"a <{name}>", "num_inference_steps": 1, "seed": 1, **fields})


@pytest.mark.parametrize(
    ("name", "bases", "learned_on"),
    [("kin", "kin", "anime"), ("found", "kin", "an unknown base model"), ("found", None, "an unknown base model")],
)
async def test_what_is_drawn_of_another_base_model_names_it(
    desk: Desk, name: str, bases: str | None, learned_on: str
) -> None:
    answer = (await drawn(desk, name, bases=bases)).json()
    assert answer["learned_on"] == {f"{name}@1": learned_on}
    infotext = read_png_infotext(base64.b64decode(answer["data"][0]["b64_json"]))
    assert read_infotext(infotext or "").settings["TI learned on"] == f"{name}@1: {learned_on}"


@pytest.mark.parametrize(
    ("name", "bases"), [("kin", None), ("kin", "exact"), ("found", "exact"), ("stranger", "kin"), ("stranger", None)]
)
async def test_what_may_not_be_drawn_is_a_400_that_says_so(desk: Desk, name: str, bases: str | None) -> None:
    refused = await drawn(desk, name, bases=bases)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "other_base_model"


@pytest.mark.parametrize(("configured", "asked", "status"), [("kin", None, 200), ("kin", "exact", 400)])
async def test_the_operators_choice_holds_where_a_request_does_not_say(
    desk: Desk, configured: str, asked: str | None, status: int
) -> None:
    desk.config = desk.config.model_copy(update={"bases": configured})
    assert (await drawn(desk, "kin", bases=asked)).status_code == status


async def test_a_word_that_is_no_choice_is_a_400(desk: Desk) -> None:
    refused = await drawn(desk, "kin", bases="any")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "bases")


async def test_concepts_are_listed_with_the_family_that_they_are_of(desk: Desk, tiny: BaseModel) -> None:
    assert (await desk.facts()).family == tiny.family
    async with client_of(desk) as client:
        listed = (await client.get("/v1/concepts")).json()["data"]
    assert {one["name"]: one["family"] for one in listed} == {"kin": "sd1", "stranger": "sd2", "found": None}
