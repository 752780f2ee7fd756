"""`textinv keys` and `textinv serve`: what is printed, and what is not believed."""

import json
import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.access.keys import KeyRing
from services.config import ServiceConfig
from services.local.lifecycle import keeper_environment, start_service, stop_service
from services.local.state import ServiceFolder, ServiceState
from textinv.cli import build_app
from textinv.errors import InputError, SettingsError
from textinv.settings import OWN_BASE_MODELS, Settings, environment_of, load_settings
from textinv.store import connect_store

pytestmark = pytest.mark.store


@pytest.fixture
def settings(embedded_home: Settings, tmp_path: Path) -> Settings:
    return embedded_home.model_copy(update={"home": tmp_path, "service_url": "http://127.0.0.1:1"})


@pytest.fixture
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)


def textinv(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), arguments)


@pytest.mark.usefixtures("_environment")
def test_a_key_is_made_listed_and_revoked(settings: Settings) -> None:
    made = json.loads(textinv("keys", "create", "my page", "--role", "submit", "--prefix", "acme-", "--json").stdout)
    ring = KeyRing(connect_store(settings.store))
    assert ring.find(made["key"], "generate").name_prefix == "acme-"
    listed = textinv("keys", "ls", "--json").stdout
    assert [one["id"] for one in json.loads(listed)] == [made["id"]]
    assert made["key"] not in listed
    assert textinv("keys", "revoke", made["id"]).exit_code == 0
    assert json.loads(textinv("keys", "ls", "--json").stdout)[0]["revoked"] is not None
    unknown = textinv("keys", "revoke", "0123456789ab")
    assert isinstance(unknown.exception, InputError)


@pytest.mark.usefixtures("_environment")
def test_a_key_needs_no_label() -> None:
    made = json.loads(textinv("keys", "create", "--json").stdout)
    assert (made["label"], made["role"]) == ("unnamed", "generate")
    assert [one["label"] for one in json.loads(textinv("keys", "ls", "--json").stdout)] == ["unnamed"]


@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("room", ["keys", "concept", "job"])
def test_a_list_of_nothing_says_which_store_it_looked_at(settings: Settings, room: str) -> None:
    listed = textinv(room, "ls")
    store = settings.store
    assert listed.exit_code == 0
    assert listed.stdout.strip() == f"(none in {store.endpoint_url}, bucket {store.bucket}, prefix {store.prefix})"


@pytest.mark.usefixtures("_environment")
def test_status_of_a_service_that_does_not_run_is_a_failure_and_down_does_nothing(settings: Settings) -> None:
    status = textinv("serve", "status", "--json")
    assert status.exit_code == 1
    assert json.loads(status.stdout)["ready"] is False
    assert json.loads(textinv("serve", "down", "--json").stdout) == {"stopped": False}


def test_a_state_that_was_left_behind_is_not_believed(settings: Settings) -> None:
    folder = ServiceFolder(settings.home)
    folder.prepare()
    folder.save(
        ServiceState(
            url="http://127.0.0.1:1",
            base_model="emoji",
            pid=os.getpid(),  # a process that lives and is not a keeper: it must survive `down`
            ray_folder="",
            started="2020-01-01T00:00:00+00:00",
        )
    )
    assert stop_service(settings) is False
    assert folder.load() is None


def test_a_port_that_is_taken_is_named(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = int(taken.getsockname()[1])
        with pytest.raises(SettingsError, match=str(port)):
            start_service(settings, ServiceConfig(), "127.0.0.1", port)


@pytest.mark.parametrize("command", [("serve", "up"), ("up",)], ids=" ".join)
def test_with_a_cluster_in_the_settings_nothing_is_started_and_what_to_deploy_is_said(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTINV_HOME", str(tmp_path))
    monkeypatch.setenv("TEXTINV_RAY_ADDRESS", "http://head:8265")
    failed = textinv(*command)
    assert isinstance(failed.exception, SettingsError)
    assert "http://head:8265" in failed.exception.message
    assert "services/deploy/serve.yaml" in failed.exception.message
    assert list(tmp_path.iterdir()) == []


def test_settings_survive_the_way_through_the_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {
        "base_models": {**OWN_BASE_MODELS, "a": "/x", "b": "hub/y"},
        "encoders": (Path("/clip"), Path("/dino")),
        "device": "cpu",
    }
    given = settings.model_copy(update=changes)
    for name, value in environment_of(given).items():
        monkeypatch.setenv(name, value)
    assert load_settings().settings == given


def test_the_ray_of_a_service_asks_for_a_token_that_nobody_knew_before(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "known")
    first, second = keeper_environment(settings, "folder"), keeper_environment(settings, "folder")
    assert first["RAY_AUTH_MODE"] == second["RAY_AUTH_MODE"] == "token"
    assert len({first["RAY_AUTH_TOKEN"], second["RAY_AUTH_TOKEN"], "known"}) == 3
    assert first["TEXTINV_HOME"] == str(settings.home)
