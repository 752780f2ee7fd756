"""A local Ray that takes too long to start, as on a busy machine, is told in a sentence."""

import threading
from pathlib import Path
from typing import NoReturn

import pytest
import ray
from pydantic import SecretStr

from cluster.driver.options import DriverOptions
from cluster.driver.process import serve_here
from services.config import ServiceConfig
from services.local.keeper import start_ray
from textinv.errors import ClusterError
from textinv.settings import Settings, StoreSettings

STORE = StoreSettings(endpoint_url="http://store:8333", access_key="key", secret_key=SecretStr("s3-secret"))
MESSAGE = "The current node timed out during startup."
"""Of a bare `Exception` that Ray raises after 30 seconds."""


@pytest.fixture(autouse=True)
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> NoReturn:
        raise Exception(MESSAGE)  # as Ray does

    monkeypatch.setattr(ray, "init", init)


def test_the_driver_says_that_ray_does_not_start(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, store=STORE)
    with pytest.raises(ClusterError, match=f"Ray does not start on this machine: {MESSAGE}; if it is busy"):
        serve_here(settings, DriverOptions(), threading.Event())


def test_the_service_says_that_ray_does_not_start() -> None:
    with pytest.raises(SystemExit, match=f"Ray does not start here: {MESSAGE}\nif this machine is busy"):
        start_ray(ServiceConfig())
