"""`services/deploy/serve.yaml` deployed through Ray's REST API onto a Ray of its own: two fronts, keys, a picture."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from services.access.keys import KeyRing
from tests.services.pictures import pixels_of
from textinv.settings import StoreSettings
from textinv.store import connect_store

pytestmark = [pytest.mark.ray, pytest.mark.store, pytest.mark.load]
ROOT = Path(__file__).parents[2]
TOKEN = "t" * 32
HEAD = """
import sys, ray
context = ray.init(address="local", include_dashboard=True, dashboard_port=int(sys.argv[1]), num_cpus=4,
                   object_store_memory=80 * 2**20, log_to_driver=False, logging_level="ERROR")
print("ready", flush=True)
sys.stdin.read()
ray.shutdown()
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def dashboard(s3_settings: StoreSettings) -> Iterator[str]:
    """URL of the REST API of a Ray whose processes find the store through their environment."""
    # Short, as the paths of Ray's sockets may have 107 characters only.
    folder, port = tempfile.mkdtemp(prefix="tirest-", dir="/tmp"), free_port()
    assert s3_settings.secret_key is not None
    environment = os.environ | {
        "RAY_TMPDIR": folder,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "TEXTINV_STORE_ENDPOINT_URL": str(s3_settings.endpoint_url),
        "TEXTINV_STORE_BUCKET": s3_settings.bucket,
        "TEXTINV_STORE_PREFIX": s3_settings.prefix,
        "TEXTINV_STORE_ACCESS_KEY": str(s3_settings.access_key),
        "TEXTINV_STORE_SECRET_KEY": s3_settings.secret_key.get_secret_value(),
    }
    head = subprocess.Popen(
        [sys.executable, "-c", HEAD, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        assert head.stdout is not None
        assert head.stdout.readline().strip() == "ready"
        yield f"http://127.0.0.1:{port}"
    finally:
        head.communicate("", timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def stated_for_here(port: int) -> dict[str, Any]:
    """The shipped config, at a size that this machine has."""
    stated: dict[str, Any] = yaml.safe_load((ROOT / "services/deploy/serve.yaml").read_text())
    stated["http_options"] = {"host": "127.0.0.1", "port": port}
    stated["applications"][0]["args"] |= {"num_gpus": 0, "num_cpus": 0.5, "max_batch": 4}
    return stated


def test_the_shipped_config_is_deployed_over_rest_asks_for_a_key_and_draws(
    dashboard: str, s3_settings: StoreSettings
) -> None:
    port = free_port()
    stated = stated_for_here(port)
    headers = {"authorization": f"Bearer {TOKEN}"}
    url = f"{dashboard}/api/serve/applications/"
    deployed = httpx.put(url, json=stated, headers=headers, timeout=60)
    assert deployed.status_code == 200, deployed.text
    deadline = time.monotonic() + 120
    status = ""
    while status not in ("RUNNING", "DEPLOY_FAILED") and time.monotonic() < deadline:
        time.sleep(0.5)
        application = httpx.get(url, headers=headers, timeout=60).json()["applications"].get("textinv", {})
        status = application.get("status", "")
    assert status == "RUNNING", application
    replicas = {name: len(one["replicas"]) for name, one in application["deployments"].items()}
    assert replicas == {"Front": 2, "StudioReplica": 1, "Shared": 1}
    assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).json()["base_model"] == "emoji"
    refused = httpx.post(f"http://127.0.0.1:{port}/v1/images/generations", json={"prompt": "a frog"}, timeout=60)
    assert refused.status_code == 401
    ring = KeyRing(connect_store(s3_settings))

    def draw(text: str, **headers: str) -> httpx.Response:
        return httpx.post(
            f"http://127.0.0.1:{port}/v1/images/generations",
            json={"prompt": "a frog", "num_inference_steps": 2},
            headers={"authorization": f"Bearer {text}", **headers},
            timeout=120,
        )

    # What is true of one front only would sooner or later differ between eight answers of two.
    text, _ = ring.create("page", "generate")
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: draw(text, **{"idempotency-key": "once"}), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.content for reply in replies}) == 1
    picture = pixels_of(replies[0].json()["data"][0]["b64_json"])
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 0
    text, _ = ring.create("page", "generate", per_minute=1)
    assert [draw(text).status_code for _ in range(8)] == [200] + [429] * 7
