"""`textinv serve up` and `textinv up`: what flags and `--config FILE` say of the service."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.config import ServiceConfig
from services.local import everything, lifecycle
from services.local.config_file import choose_config
from services.local.everything import Up
from services.local.state import ServiceState
from textinv.cli import build_app
from textinv.errors import SettingsError
from textinv.settings import Settings, environment_of

FILE = """
base_model: other
safety_checker: false
cors_origins: ["https://page.example"]
log_prompts: true
min_replicas: 0
driver_options: {threads_per_worker: 2}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "service.yaml"
    path.write_text(FILE)
    return path


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[ServiceConfig]:
    """The configs with which a service would have been started."""
    configs: list[ServiceConfig] = []

    def start(settings: Settings, config: ServiceConfig, host: str, port: int) -> ServiceState:
        configs.append(config)
        url = f"http://{host}:{port}"
        return ServiceState(url=url, base_model=config.base_model, pid=1, ray_folder="", started="now")

    def start_all(settings: Settings, config: ServiceConfig, host: str, port: int) -> Up:
        return Up(start(settings, config, host, port), False, ())

    monkeypatch.setattr(lifecycle, "start_service", start)
    monkeypatch.setattr(everything, "start_everything", start_all)
    return configs


@pytest.fixture
def _environment(embedded_home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = embedded_home.model_copy(update={"home": tmp_path, "service_url": "http://127.0.0.1:1"})
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)


def textinv(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), arguments)


def test_flags_come_before_the_file_and_the_file_before_defaults(path: Path) -> None:
    flags = {"base_model": None, "min_replicas": 2, "max_replicas": 2, "driver_options": {"workers": 3}}
    config = choose_config(path, flags, {"keys": False, "log_prompts": False, "driver_options": {"workers": 1}})
    assert config.base_model == "other"
    assert (config.min_replicas, config.max_replicas) == (2, 2)
    assert config.log_prompts
    assert not config.safety_checker
    assert not config.keys
    assert config.driver_options == {"threads_per_worker": 2, "workers": 3}
    assert choose_config(None, {}, {}) == ServiceConfig()


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("safety_cheker: false", "safety_cheker"),
        ("min_replicas: 3", "max_replicas"),
        ("log_prompts: [1]", "log_prompts"),
        ("store: {bucket: other}", "store is a setting"),
        ("home: /elsewhere", "home is a setting"),
        ("- a list", "holds no fields"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_field(tmp_path: Path, said: str, what: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(said)
    with pytest.raises(SettingsError, match=what) as caught:
        choose_config(path, {}, {})
    assert str(path) in caught.value.message
    with pytest.raises(SettingsError, match="cannot be read"):
        choose_config(tmp_path / "missing.yaml", {}, {})


@pytest.mark.store
@pytest.mark.usefixtures("_environment")
@pytest.mark.parametrize("command", [("serve", "up"), ("up",)], ids=" ".join)
def test_both_commands_take_the_file_and_the_flags(
    command: tuple[str, ...], path: Path, started: list[ServiceConfig]
) -> None:
    for arguments in ((), ("--config", str(path), "--resize", "--gpus", "0.5"), ("--base-model", "third")):
        done = textinv(*command, *arguments, "--json")
        assert done.exit_code == 0, done.output
    plain, full, third = started
    workers = {"workers": 1} if command == ("up",) else {}
    assert plain == ServiceConfig(keys=False, driver_options=workers)
    assert (full.base_model, full.min_replicas, full.max_replicas) == ("other", 0, 1)
    assert (full.safety_checker, full.log_prompts, full.resize, full.num_gpus) == (False, True, True, 0.5)
    assert full.cors_origins == ("https://page.example",)
    assert full.driver_options == {"threads_per_worker": 2} | workers
    assert third.base_model == "third"
    failed = textinv(*command, "--config", str(path.with_name("missing.yaml")))
    assert isinstance(failed.exception, SettingsError)
    assert len(started) == 3


@pytest.mark.store
@pytest.mark.usefixtures("_environment")
def test_who_may_call_from_elsewhere_needs_a_key_unless_somebody_says_otherwise(
    tmp_path: Path, started: list[ServiceConfig]
) -> None:
    path = tmp_path / "open.yaml"
    path.write_text("keys: false")
    for arguments in (
        ("--host", "0.0.0.0"),
        ("--host", "0.0.0.0", "--no-keys"),
        ("--host", "0.0.0.0", "--config", str(path)),
        ("--config", str(path), "--keys"),
        ("--replicas", "2", "--no-resize"),
    ):
        assert textinv("serve", "up", *arguments).exit_code == 0
    assert [config.keys for config in started] == [True, False, False, True, False]
    assert (started[-1].min_replicas, started[-1].max_replicas, started[-1].resize) == (2, 2, False)
