"""`services/deploy/serve.yaml` deployed through Ray's REST API onto a Ray of its own."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from textinv.settings import StoreSettings

pytestmark = [pytest.mark.ray, pytest.mark.store]
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
    stated["applications"][0]["args"] |= {"num_gpus": 0, "num_cpus": 0.5, "num_fronts": 1, "max_batch": 4}
    return stated


def test_the_shipped_config_is_deployed_over_rest_and_asks_for_a_key(dashboard: str) -> None:
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
    assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).json()["base_model"] == "emoji"
    refused = httpx.post(f"http://127.0.0.1:{port}/v1/images/generations", json={"prompt": "a frog"}, timeout=60)
    assert refused.status_code == 401
