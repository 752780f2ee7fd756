"""Requests made up from the OpenAPI document, sensible and not: none of them makes the service fail."""

import pytest
import torch
from hypothesis import HealthCheck, settings

from services.api.app import make_app
from services.config import ServiceConfig
from services.desk import Desk
from tests.services.colour_studio import ColourStudio
from tests.services.job_tools import IdleFleet
from textinv.embedding import Embedding
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis")


def _desk() -> Desk:
    store = MemoryStore()
    for name in ("cat", "dog"):
        Registry(store).publish(
            name,
            Embedding({"text_encoder": torch.ones(1, 8)}),
            {},
            fingerprint=name,
            base_model="colours",
            base_revision="c0ffee",
        )
    config = ServiceConfig(keys=False, resize=True)  # its base model lies on the disk, as that of any service
    return Desk(config, ColourStudio(store), store, IdleFleet())


schema = schemathesis.openapi.from_asgi("/openapi.json", make_app(_desk()))


@schema.parametrize()
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_makes_the_service_fail(case: "schemathesis.Case") -> None:
    reply = case.call()
    assert reply.status_code < 500, reply.text
    assert reply.status_code != 409
    if reply.status_code >= 400:
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
