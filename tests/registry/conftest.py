"""A registry on each kind of store, and embeddings to publish."""

from collections.abc import Callable

import pytest
import torch

from textinv.embedding import Embedding
from textinv.registry import PublishedVersion, Registry
from textinv.store import MemoryStore, ObjectStore

Publish = Callable[..., PublishedVersion]


@pytest.fixture
def make_embedding() -> Callable[[int], Embedding]:
    """Makes the embedding of a number: two vectors for one text encoder."""

    def make(number: int) -> Embedding:
        generator = torch.Generator().manual_seed(number)
        return Embedding({"text_encoder": torch.randn(2, 8, generator=generator)})

    return make


@pytest.fixture(params=["memory", pytest.param("s3", marks=pytest.mark.store)])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "memory":
        return MemoryStore()
    found: ObjectStore = request.getfixturevalue("s3_store")
    return found


@pytest.fixture
def registry(store: ObjectStore) -> Registry:
    """A registry on an empty store."""
    return Registry(store)


@pytest.fixture
def publish(make_embedding: Callable[[int], Embedding]) -> Publish:
    """Publishes the embedding of a number as what a spec of that number learned."""

    def publish(registry: Registry, name: str, number: int, run_id: str | None = None) -> PublishedVersion:
        return registry.publish(
            name,
            make_embedding(number),
            {"steps": number, "why": "converged"},
            fingerprint=f"spec-{name}-{number}",
            base_model="emoji",
            base_revision="r1",
            run_id=run_id,
            files={"preview.png": b"picture %d" % number},
        )

    return publish
