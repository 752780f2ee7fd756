"""Requests made up from the OpenAPI document, sensible and not: none of them makes the service fail.

`make test` makes up a few of each route at random; `make load` (`test_many_requests.py`) makes up more, and tries each
limit that the document states on both sides.
"""

import pytest
import torch
from hypothesis import HealthCheck, settings

from services.api.app import make_app
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import FACTS, ColourStudio
from tests.services.job_tools import IdleFleet
from textinv.embedding import Embedding
from textinv.registry import Registry
from textinv.store.memory import MemoryStore
from textinv.store.protocol import ObjectStore

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")

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
    config = ServiceConfig(
        keys=False, resize=True, hosts=(HOST,)
    )  # its base model lies on the disk, as that of any service
    return Desk(config, ColourStudio(store), store, IdleFleet())


def schema_of_the_service() -> "schemathesis.BaseSchema":
    return schemathesis.openapi.from_asgi("/openapi.json", make_app(_desk()))


schema = schema_of_the_service()
schema.config.phases.coverage.enabled = False  # to collect all limits alone takes longer than these tests


def check(reply: "schemathesis.Response") -> None:
    """An error that the caller can read is an answer; one of the server is none."""
    assert reply.status_code < 500, reply.text
    assert reply.status_code != 409
    if reply.status_code >= 400:
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


@schema.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_service_fail(case: "schemathesis.Case") -> None:
    check(case.call())
