"""A service on the test session's Ray Serve, for tests over real HTTP that look behind it."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import httpx
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from torch import Tensor

from services.application import build
from services.config import ServiceConfig
from textinv.embedding import Embedding
from textinv.models import base_revision, load_base_model
from textinv.registry import Registry
from textinv.settings import StoreSettings
from textinv.store import connect_store

APPLICATION = "service"


@contextmanager
def serving(config: ServiceConfig) -> Iterator[str]:
    """Deploy a service; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    try:
        serve.run(build(config), name=APPLICATION, route_prefix="/")
        yield f"http://127.0.0.1:{port}"
    finally:
        serve.shutdown()


@cache
def row_of(word: str) -> Tensor:
    """The demo base's own row of a word."""
    return load_base_model("emoji", device="cpu").token_rows("text_encoder", word)


def publish_word(stored: StoreSettings, name: str, word: str) -> int:
    published = Registry(connect_store(stored)).publish(
        name,
        Embedding({"text_encoder": row_of(word)}),
        {},
        fingerprint=f"{name}-{word}",
        base_model="emoji",
        base_revision=base_revision("emoji"),
    )
    return published.version


def studio_replicas() -> list[Any]:
    """Handles of the studio's replicas that are alive."""
    names = ray.util.list_named_actors(all_namespaces=True)
    found = [one for one in names if "StudioReplica" in one["name"]]
    return [ray.get_actor(one["name"], namespace=one["namespace"]) for one in found]


def wait_for(what: Callable[[], Any], patience_s: float = 30.0) -> Any:
    deadline = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def draw(url: str, **fields: Any) -> httpx.Response:
    return httpx.post(f"{url}/v1/images/generations", json={"prompt": "a frog", **fields}, timeout=120)
