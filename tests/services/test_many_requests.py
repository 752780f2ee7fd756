"""Requests made up from the OpenAPI document, at random and at each limit that it states: none makes the service fail.

`make test` does not even collect this file, as making these requests up takes longer than collecting all others.
"""

from collections.abc import Iterator

import pytest
import torch
from fastapi import FastAPI
from hypothesis import HealthCheck, settings

from services.api.app import make_app
from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.engine_studio import EngineStudio, open_studio
from tests.models.tiny_bases import make_base
from tests.services.colour_studio import FACTS, ColourStudio
from tests.services.job_tools import IdleFleet
from textinv.embedding import Embedding
from textinv.registry import Registry
from textinv.store import EmbeddedServer, connect_store
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")
pytestmark = pytest.mark.load

HOST = "testserver"
"""What schemathesis calls an application in this process."""


def publish_two(store: ObjectStore, base_model: str, base_revision: str, width: int) -> None:
    for name in ("cat", "dog"):
        Registry(store).publish(
            name,
            Embedding({"text_encoder": torch.ones(1, width)}),
            {},
            fingerprint=name,
            base_model=base_model,
            base_revision=base_revision,
        )


def _desk() -> Desk:
    store = MemoryStore()
    publish_two(store, FACTS.base_model, FACTS.base_revision, FACTS.encoder_widths["text_encoder"])
    # Its base model lies on the disk, as that of any service.
    config = ServiceConfig(keys=False, resize=True, hosts=(HOST,))
    return Desk(config, ColourStudio(store), store, IdleFleet())


def schema_of_the_service() -> "schemathesis.BaseSchema":
    return schemathesis.openapi.from_asgi("/openapi.json", make_app(_desk()))


schema = schema_of_the_service()


def check(reply: "schemathesis.Response") -> None:
    """An error that the caller can read is an answer; one of the server is none."""
    assert reply.status_code < 500, reply.text
    assert reply.status_code != 409
    if reply.status_code >= 400:
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@schema.parametrize()
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_none_of_many_requests_makes_the_service_fail(case: "schemathesis.Case") -> None:
    check(case.call())


@pytest.fixture(scope="module")
def studio(s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineStudio]:
    """The studio that draws, on a tiny base and the real store."""
    base = make_base("sd1", tmp_path_factory.mktemp("base"))
    store = s3_server.up().model_copy(update={"prefix": "any-request"})
    studio = open_studio(ServiceConfig(base_model=str(base), device="cpu", store=store))
    model = studio.engine.model
    publish_two(connect_store(store), model.id, model.revision, model.encoder_widths["text_encoder"])
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def engine_app(studio: EngineStudio, s3_server: EmbeddedServer) -> FastAPI:
    """The whole service around it."""
    store = s3_server.up().model_copy(update={"prefix": "any-request"})
    config = ServiceConfig(
        base_model=studio.engine.model.id, store=store, keys=False, resize=True, max_num_images=3, hosts=(HOST,)
    )
    return make_app(Desk(config, studio, connect_store(store), IdleFleet()))


@pytest.mark.store
@pytest.mark.timeout(600)
@schema.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_engine_or_the_store_fail(case: "schemathesis.Case", engine_app: FastAPI) -> None:
    check(case.call(app=engine_app))


@pytest.mark.store
def test_many_of_those_requests_were_drawn(studio: EngineStudio) -> None:
    assert studio.engine.stats.tally.images >= 10
