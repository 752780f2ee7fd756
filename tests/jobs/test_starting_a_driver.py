"""Where a home folder's driver sits, and how a cluster is asked for one."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from textinv.errors import ClusterError, InputError, SettingsError
from textinv.jobs import cluster_driver, fleet_driver
from textinv.jobs.cluster_driver import ensure_on_cluster, running_driver
from textinv.jobs.fleet import StoredFleet, settings_key, status_key
from textinv.jobs.fleet_driver import LocalFleet, fleet_for
from textinv.jobs.home_driver import HomeDriver
from textinv.settings import Settings, StoreSettings, load_settings
from textinv.store import EmbeddedServer, MemoryStore

STORE = StoreSettings(endpoint_url="http://store:8333", access_key="key", secret_key=SecretStr("s3-secret"))


@dataclass
class Status:
    ended: bool = False
    name: str = "FAILED"

    def __str__(self) -> str:
        return self.name

    def is_terminal(self) -> bool:
        return self.ended


@dataclass
class Job:
    submission_id: str
    metadata: dict[str, str]
    runtime_env: dict[str, Any]
    entrypoint: str
    status: Status = field(default_factory=Status)
    start_time: int = field(default_factory=time.monotonic_ns)


class Cluster:
    """A cluster that runs whatever it is given; `refusals` are said first."""

    def __init__(self, *refusals: str, session: str = "session_1") -> None:
        self.jobs: list[Job] = []
        self.session = session
        self._refusals = list(refusals)

    def _do_request(self, method: str, endpoint: str) -> Any:
        assert (method, endpoint) == ("GET", "/api/version")
        return self

    def json(self) -> dict[str, str]:
        return {"version": "4", "session_name": self.session} if self.session else {}

    def refuse(self, why: str) -> None:
        self._refusals.append(why)

    def list_jobs(self) -> list[Job]:
        return self.jobs

    def submit_job(
        self, *, entrypoint: str, submission_id: str, metadata: dict[str, str], runtime_env: dict[str, Any]
    ) -> str:
        if self._refusals:
            raise RuntimeError(self._refusals.pop(0))
        assert submission_id not in [job.submission_id for job in self.jobs]
        self.jobs.append(Job(submission_id, metadata, runtime_env, entrypoint))
        return submission_id


def on_cluster(tmp_path: Path) -> Settings:
    return Settings(
        home=tmp_path, store=STORE, ray_address="http://head:8265", base_models={"a": "b/c"}, encoders=(Path("/clip"),)
    )


def test_a_cluster_gets_one_driver_per_fleet_and_another_one_when_that_has_ended(tmp_path: Path) -> None:
    cluster, settings = Cluster(), on_cluster(tmp_path)
    assert ensure_on_cluster(cluster, settings, "cluster-a", '{"workers": 2}')
    assert not ensure_on_cluster(cluster, settings, "cluster-a", "{}")
    (job,) = cluster.jobs
    assert job.entrypoint.startswith("python -m cluster.driver.process --on-cluster cluster-a ")
    told = job.runtime_env["env_vars"]
    assert told["TEXTINV_STORE_ENDPOINT_URL"] == "http://store:8333"
    assert told["TEXTINV_BASE_MODELS"] == "a=b/c"
    assert told["TEXTINV_ENCODERS"] == "/clip"
    assert {"TEXTINV_HOME", "TEXTINV_RAY_ADDRESS"}.isdisjoint(told)
    assert ensure_on_cluster(cluster, settings, "cluster-b", "{}")
    job.status.ended = True
    assert running_driver(cluster, "cluster-a") is None
    assert ensure_on_cluster(cluster, settings, "cluster-a", "{}")
    assert running_driver(cluster, "cluster-a") == cluster.jobs[-1].submission_id


def test_an_older_drivers_deleted_job_does_not_keep_the_next_one_from_starting(tmp_path: Path) -> None:
    cluster, settings = Cluster(), on_cluster(tmp_path)
    for _ in range(2):
        assert ensure_on_cluster(cluster, settings, "cluster-a", "{}")
        cluster.jobs[-1].status.ended = True
    del cluster.jobs[0]
    assert ensure_on_cluster(cluster, settings, "cluster-a", "{}")
    assert running_driver(cluster, "cluster-a") == "cluster-a-3"


class FasterRival(Cluster):
    """A cluster that somebody else submits to in the same moment."""

    def submit_job(self, **job: Any) -> str:
        if not self.jobs:
            super().submit_job(**job)
            raise RuntimeError(f"Job with submission_id {job['submission_id']} already exists.")
        return super().submit_job(**job)


def test_whoever_is_a_moment_late_finds_the_others_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_driver, "RETRY_S", 0.0)
    cluster = FasterRival()
    assert not ensure_on_cluster(cluster, on_cluster(tmp_path), "cluster-a", "{}")
    assert len(cluster.jobs) == 1


@pytest.mark.store
def test_a_fleet_is_a_clusters_session_working_for_a_store_whatever_addresses_they_have(
    embedded_home: Settings,
) -> None:
    clusters = {
        "http://head:8265": Cluster(),
        "http://127.0.0.1:8265": Cluster(),
        "other": Cluster(session="session_2"),
    }

    def name(address: str, **store: Any) -> str:
        chosen = embedded_home.store.model_copy(update=store)
        settings = embedded_home.model_copy(update={"ray_address": address, "store": chosen})
        return fleet_for(settings, "{}", lambda one: clusters[one]).name

    first = name("http://head:8265")
    inside = str(embedded_home.store.endpoint_url).replace("127.0.0.1", "localhost")
    assert name("http://127.0.0.1:8265", endpoint_url=inside) == first
    assert name("other") != first
    assert name("http://head:8265", prefix=f"{embedded_home.store.prefix}-staging") != first


@pytest.mark.store
def test_another_cluster_behind_the_same_address_is_another_fleet(
    embedded_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet_driver, "_LOOK_S", 0.0)
    cluster = Cluster()
    fleet = fleet_for(embedded_home.model_copy(update={"ray_address": "http://head:8265"}), "{}", lambda _: cluster)
    before = fleet.name
    assert (fleet.ensure(), fleet.driver().state) == (True, "running")
    cluster.session = "session_2"
    assert fleet.name != before
    assert (fleet.driver().state, fleet.ensure()) == ("stopped", True)
    named, cluster.session = fleet.name, ""
    assert fleet.name == named, "one that does not say who it is for a while is still the one that it was"


def test_no_key_is_written_into_the_clusters_table_of_jobs(tmp_path: Path) -> None:
    cluster = Cluster()
    settings = on_cluster(tmp_path).model_copy(update={"service_key": SecretStr("ti_mine"), "gpu_hour_price": 2.0})
    assert ensure_on_cluster(cluster, settings, "cluster-a", "{}")
    (job,) = cluster.jobs
    assert not [secret for secret in ("s3-secret", "ti_mine") if secret in str(job)]
    allowed = {"ENDPOINT_URL", "BUCKET", "PREFIX", "REGION"}
    told = {name for name in job.runtime_env["env_vars"] if name.startswith("TEXTINV_STORE_")}
    assert told <= {f"TEXTINV_STORE_{name}" for name in allowed}


@pytest.mark.store
def test_the_keys_of_the_embedded_store_reach_a_cluster_of_this_machine_by_a_file_of_its_owner(
    embedded_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster, home = Cluster(), embedded_home.home
    settings = Settings(home=home, ray_address="http://127.0.0.1:8265")
    assert ensure_on_cluster(cluster, settings, "cluster-a", "{}")
    told = cluster.jobs[0].runtime_env["env_vars"]
    assert Path(told["TEXTINV_CONFIG"]).stat().st_mode & 0o077 == 0
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert load_settings().settings.store == EmbeddedServer(home).settings()


def test_a_cluster_that_does_not_take_the_driver_says_why(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"head:8265 .* no space left"):
        ensure_on_cluster(Cluster("no space left"), on_cluster(tmp_path), "cluster-a", "{}")


def test_a_cluster_elsewhere_cannot_use_the_store_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"store\.endpoint_url"):
        fleet_for(Settings(home=tmp_path, ray_address="http://head:8265"), "{}", lambda _: Cluster())


def test_the_drivers_environment_has_the_settings_and_nothing_of_the_ray_around(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_JOB_ID", "01000000")
    told = HomeDriver(tmp_path).environment(Settings(home=tmp_path, store=STORE))
    assert told["TEXTINV_HOME"] == str(tmp_path)
    assert not [name for name in told if name.startswith("RAY_")]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "CUDA_VISIBLE_DEVICES" not in HomeDriver(tmp_path).environment(Settings(home=tmp_path, store=STORE))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert HomeDriver(tmp_path).environment(Settings(home=tmp_path, store=STORE))["CUDA_VISIBLE_DEVICES"] == "1"
    assert Path(told["PYTHONPATH"].split(os.pathsep)[0], "cluster", "driver", "process.py").is_file()


def test_a_fleet_of_this_machine_is_seen_by_its_lock(tmp_path: Path) -> None:
    fleet, driver = LocalFleet(Settings(home=tmp_path, store=STORE), "{}"), HomeDriver(tmp_path)
    assert (fleet.name, fleet.driver().state) == (driver.fleet, "stopped")
    lock = driver.lock()
    assert lock is not None
    assert fleet.driver().to_json() == {"running": True, "state": "running", "problem": None}
    assert fleet.ensure() is False
    os.close(lock)
    assert fleet.driver().state == "stopped"


@pytest.mark.load
def test_a_driver_that_does_not_start_leaves_its_last_words(tmp_path: Path) -> None:
    fleet = LocalFleet(Settings(home=tmp_path, store=STORE), '{"workerz": 1}')
    assert fleet.ensure()
    assert fleet.driver().state == "starting"
    assert fleet.ensure() is False
    deadline = time.monotonic() + 60
    while (found := fleet.driver()).state == "starting":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert found.state == "stopped"
    assert "workerz" in (found.problem or "")


def test_a_fleet_is_what_was_written_else_what_its_driver_was_started_with() -> None:
    store = MemoryStore()
    fleet = StoredFleet(store, "f")
    assert (fleet.status(), fleet.settings().max_workers) == ({}, 1)
    store.put(status_key("f"), b'{"settings": {"max_workers": 3, "crew_size": 3}}')
    assert fleet.settings().max_workers == 3
    assert fleet.change({"draining": True}).max_workers == 3
    assert (fleet.change({"max_workers": 5}).crew_size, fleet.settings().draining) == (3, True)
    with pytest.raises(InputError, match="more than max"):
        fleet.change({"min_workers": 6})
    store.put(settings_key("f"), b"[1]")
    with pytest.raises(Exception, match="not a JSON object"):
        fleet.settings()
