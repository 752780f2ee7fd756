"""`textinv up` and `textinv down`: everything on this machine, from one command to the next."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from cluster.driver.local_ray import LocalRay
from services.local.state import ServiceFolder
from tests.services.listening import is_loopback, listening
from tests.services.served import free_port
from textinv.cli import build_app
from textinv.errors import SettingsError
from textinv.jobs import JobStore
from textinv.jobs.fleet_driver import LocalFleet
from textinv.jobs.home_driver import HomeDriver
from textinv.processes import processes_with
from textinv.settings import Settings, environment_of
from textinv.store import EmbeddedServer, connect_store
from textinv.training.checkpoint import Checkpoint

pytestmark = pytest.mark.store
PICTURES = sorted((Path(__file__).parents[2] / "manifests" / "pictures" / "umbrella").glob("*.png"))[:3]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A home that is empty, with a store of its own that nobody has started."""
    settings = Settings(home=tmp_path, service_url=f"http://127.0.0.1:{free_port()}")
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    yield settings
    textinv("down")


def textinv(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), arguments)


def told(*arguments: str) -> Any:
    """What a command that goes well tells."""
    done = textinv(*arguments, "--json")
    if done.exception is not None:
        raise done.exception
    return json.loads(done.stdout)


def wait_for(is_so: Callable[[], bool], patience_s: float = 120.0) -> None:
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.2)


def gcs_address(pids: Iterable[int]) -> str:
    """Where the GCS of these processes of a Ray is: its raylet is told so."""
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes().decode() for pid in pids if Path(f"/proc/{pid}/exe").exists()]
    return next(found[1] for line in lines if (found := re.search(r"--gcs-address=([\w.]+:\d+)", line)))


def asks_ray(gcs: str, token: str) -> str:
    """What a Ray answers to a program with a token: how many keys it has, or why it does not tell."""
    program = f"from ray._raylet import GcsClient; print(len(GcsClient(address={gcs!r}).internal_kv_keys(b'', None)))"
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def test_down_of_what_is_not_up_does_nothing(settings: Settings) -> None:
    assert told("down") == {"stopped": []}
    assert "nothing was running" in textinv("down").stdout


def test_down_ends_a_driver_that_is_still_starting_before_it_can_start_the_store(settings: Settings) -> None:
    EmbeddedServer(settings.home).up()
    LocalFleet(settings, "{}").ensure()
    driver = HomeDriver(settings.home)
    assert driver.driver_processes()
    assert not driver.has_driver()
    assert told("down") == {"stopped": ["workers", "store"]}
    assert not driver.driver_processes()
    time.sleep(1.0)
    assert not EmbeddedServer(settings.home).status().running


def test_a_port_that_is_taken_is_named_and_the_store_is_not_left_running(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        failed = textinv("up", "--port", port)
    assert isinstance(failed.exception, SettingsError)
    assert port in failed.exception.message
    assert not EmbeddedServer(settings.home).status().running


@pytest.mark.ray
@pytest.mark.load
@pytest.mark.timeout(600)
def test_up_serves_the_page_learns_what_is_posted_and_goes_on_after_down_and_deaths(settings: Settings) -> None:
    first = told("up")
    assert (first["was_up"], first["page"]) == (False, f"{settings.service_url}/")
    assert told("up")["was_up"] is True
    with httpx.Client(base_url=settings.service_url, timeout=120) as client:
        assert client.get("/readyz").status_code == 200
        ids = [client.post("/v1/images", content=path.read_bytes()).json()["id"] for path in PICTURES]
        concept = {"name": "brolly", "images": ids, "class_word": "umbrella", "max_steps": 500, "min_steps": 500}
        posted = {
            "base_model": "emoji",
            "name": "up",
            "concepts": [{**concept, "stop": "fixed", "samples_per_step": 1}],
        }
        job = client.post("/v1/jobs", json=posted).json()
        wait_for(lambda: client.get(job["url"]).json()["counts"]["running"] == 1)
    for folder in (first["ray_folder"], LocalRay(settings.home).folder):
        pids = set(processes_with("RAY_TMPDIR", str(folder)))
        addresses = listening(pids)
        assert len(addresses) > 5
        # Serve lets its replicas speak to each other on all interfaces; nobody else may listen there.
        outside = [pid for address, pid in addresses.items() if not is_loopback(address)]
        names = {Path(f"/proc/{pid}/comm").read_text().strip() for pid in outside}
        assert names <= {"ray::SERVE_REPL", "ray::ServeRepli"}  # the same process before and at work
        assert "AuthenticationError" in asks_ray(gcs_address(pids), "f" * 64)
    stopped = told("down")["stopped"]
    assert stopped == ["service", "workers", "store"]
    assert not HomeDriver(settings.home).has_driver()
    assert not EmbeddedServer(settings.home).status().running
    job_store = JobStore(connect_store(EmbeddedServer(settings.home).up()))
    status = job_store.status(job["id"])
    assert status is not None
    saved = job_store.checkpoint(status.concepts[0].fingerprint)
    assert saved is not None
    assert Checkpoint.from_bytes(saved).counters["step"] >= status.concepts[0].step

    again = told("up")
    assert again["resumed"] == [job["id"]]
    service = ServiceFolder(settings.home).load()
    assert service is not None
    assert service.pid is not None
    os.kill(service.pid, signal.SIGKILL)
    EmbeddedServer(settings.home).kill()
    wait_for(lambda: not ServiceFolder(settings.home).is_kept())
    assert told("up")["was_up"] is False
    assert not Path(service.ray_folder or "/").exists()
    store = EmbeddedServer(settings.home).settings()
    assert store is not None
    wait_for(lambda: job["id"] not in JobStore(connect_store(store)).open_jobs())
    with httpx.Client(base_url=settings.service_url, timeout=120) as client:
        assert client.get(job["url"]).json()["state"] == "done"
