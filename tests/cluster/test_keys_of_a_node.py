"""Where a worker finds the keys of the store: on a cluster they are its node's and are never sent."""

import pickle
from pathlib import Path

import pytest
from pydantic import SecretStr

from cluster.queue.messages import BaseModelRef
from cluster.worker.config import WorkerConfig
from textinv.settings import StoreSettings

STORE = StoreSettings(endpoint_url="http://store:8333", bucket="b", access_key="mine", secret_key=SecretStr("hidden"))


def told(store: StoreSettings) -> WorkerConfig:
    return WorkerConfig("fleet", "crew", BaseModelRef("emoji", None, "c0ffee"), store)


def test_a_worker_without_keys_takes_those_of_its_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTINV_STORE_ACCESS_KEY", "node")
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", "nodes-secret")
    message = told(STORE.without_keys())
    assert b"hidden" not in pickle.dumps(message)
    found = message.store_here()
    assert found == STORE.model_copy(update={"access_key": "node", "secret_key": SecretStr("nodes-secret")})
    assert told(STORE).store_here() == STORE


def test_a_worker_without_keys_takes_those_of_a_mounted_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mounted.toml").write_text('[store]\naccess_key = "file"\nsecret_key = "files-secret"\n')
    monkeypatch.setenv("TEXTINV_CONFIG", str(tmp_path / "mounted.toml"))
    found = told(STORE.without_keys()).store_here()
    assert (found.endpoint_url, found.access_key) == ("http://store:8333", "file")
