"""A setting is said once: by a flag, else the environment, else a settings file, else it has a default."""

import os
import pickle
from pathlib import Path

import pytest

from textinv.errors import SettingsError
from textinv.settings import (
    OWN_BASE_MODELS,
    LoadedSettings,
    environment_of,
    load_settings,
    setting_docs,
    setting_names,
    variable_of,
)


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, no variables, no file in the home folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("TEXTINV_CONFIG", raising=False)
    for name in setting_names():
        monkeypatch.delenv(variable_of(name), raising=False)
    return tmp_path


def bucket(loaded: LoadedSettings) -> tuple[str, str]:
    return loaded.settings.store.bucket, loaded.origin["store.bucket"]


def test_nothing_said_means_the_embedded_store_of_the_user(nowhere: Path) -> None:
    loaded = load_settings()
    assert loaded.settings.store.endpoint_url is None
    assert loaded.origin["store.endpoint_url"] == "embedded store"
    assert loaded.settings.home == nowhere / "data" / "textinv"
    assert loaded.origin["home"] == "default"
    assert list(loaded.origin) == setting_names()


@pytest.mark.parametrize("mark", [".textinv/", "textinv.toml"])
def test_state_and_settings_are_those_of_the_nearest_marked_folder_above(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    deep = nowhere / "project" / "photos" / "fox"
    deep.mkdir(parents=True)
    (nowhere / ".textinv").mkdir()
    if mark.endswith("/"):
        (nowhere / "project" / mark).mkdir()
    else:
        (nowhere / "project" / mark).write_text('[store]\nbucket = "of-the-project"\n')
    monkeypatch.chdir(nowhere / "project")
    assert load_settings().settings.home.absolute() == nowhere / "project" / ".textinv"
    monkeypatch.chdir(deep)
    loaded = load_settings()
    assert loaded.settings.home == nowhere / "project" / ".textinv"
    assert (loaded.settings.store.bucket == "of-the-project") == (mark == "textinv.toml")
    monkeypatch.chdir(nowhere)
    assert load_settings().settings.home.absolute() == nowhere / ".textinv"


def test_a_marked_folder_above_that_is_anothers_is_passed_over(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / ".textinv").mkdir()
    (nowhere / "below").mkdir()
    monkeypatch.chdir(nowhere / "below")
    assert load_settings().settings.home == nowhere / ".textinv"
    monkeypatch.setattr(os, "getuid", lambda: os.stat(nowhere).st_uid + 1)
    assert load_settings().settings.home == nowhere / "data" / "textinv"


def test_a_flag_wins_over_the_environment_and_this_over_a_file(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bucket(load_settings()) == ("textinv", "default")
    (nowhere / "xdg/textinv").mkdir(parents=True)
    (nowhere / "xdg/textinv/config.toml").write_text('[store]\nbucket = "of-the-user"\n')
    assert bucket(load_settings()) == ("of-the-user", f"{nowhere}/xdg/textinv/config.toml")
    (nowhere / "textinv.toml").write_text('[store]\nbucket = "of-the-folder"\n')
    assert bucket(load_settings()) == ("of-the-folder", "textinv.toml")
    monkeypatch.setenv("TEXTINV_STORE_BUCKET", "of-the-environment")
    assert bucket(load_settings()) == ("of-the-environment", "env TEXTINV_STORE_BUCKET")
    assert bucket(load_settings({"store.bucket": "of-the-flag"})) == ("of-the-flag", "flag")
    assert bucket(load_settings({"store.bucket": None})) == ("of-the-environment", "env TEXTINV_STORE_BUCKET")


def test_a_file_can_be_named_and_its_paths_start_at_it(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (nowhere / "there").mkdir()
    (nowhere / "there/mine.toml").write_text('home = "data"\ngpu_hour_price = 2\n[base_models]\nsd = "org/model"\n')
    monkeypatch.setenv("TEXTINV_CONFIG", "there/mine.toml")
    settings = load_settings().settings
    assert settings.home == Path("there/data")
    assert settings.gpu_hour_price == 2
    assert settings.base_models == {**OWN_BASE_MODELS, "sd": "org/model"}
    monkeypatch.setenv("TEXTINV_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"nowhere\.toml, which is not a file"):
        load_settings()


def test_base_models_are_written_as_pairs_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTINV_BASE_MODELS", "sd=org/model, mine=/models/a.safetensors")
    mine = {"sd": "org/model", "mine": "/models/a.safetensors"}
    assert load_settings().settings.base_models == OWN_BASE_MODELS | mine
    monkeypatch.setenv("TEXTINV_BASE_MODELS", "sd")
    with pytest.raises(SettingsError, match="alias=where"):
        load_settings()


def test_the_own_base_model_is_a_default_that_can_be_given_another_meaning(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_settings()
    assert (loaded.settings.base_models, loaded.origin["base_models"]) == (OWN_BASE_MODELS, "default")
    assert (Path(OWN_BASE_MODELS["emoji"]) / "model_index.json").is_file()
    monkeypatch.setenv("TEXTINV_BASE_MODELS", "emoji=/my/own")
    assert load_settings().settings.base_models == {"emoji": "/my/own"}


def test_other_machines_are_told_of_stated_base_models_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the own base model lies differs from machine to machine."""
    assert "TEXTINV_BASE_MODELS" not in environment_of(load_settings().settings)
    for said in ("sd=org/model", "emoji=/my/own,sd=org/model"):
        monkeypatch.setenv("TEXTINV_BASE_MODELS", said)
        assert environment_of(load_settings().settings)["TEXTINV_BASE_MODELS"] == said


def test_folders_of_encoders_start_where_they_are_said_and_reach_other_processes_in_full(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().settings.encoders == ()
    (nowhere / "there").mkdir()
    for said in ('["clip", "/models/dino"]', '"clip, /models/dino"'):
        (nowhere / "there/mine.toml").write_text(f"encoders = {said}\n")
        monkeypatch.setenv("TEXTINV_CONFIG", "there/mine.toml")
        assert load_settings().settings.encoders == (Path("there/clip"), Path("/models/dino"))
    told = environment_of(load_settings().settings)["TEXTINV_ENCODERS"]
    assert told == f"{nowhere}/there/clip,/models/dino"
    monkeypatch.setenv("TEXTINV_ENCODERS", told)
    assert load_settings().settings.encoders == (nowhere / "there/clip", Path("/models/dino"))
    assert load_settings({"encoders": [Path("other")]}).settings.encoders == (Path("other"),)
    with pytest.raises(SettingsError, match="without a comma"):
        load_settings({"encoders": [Path("a,b")]})
    (nowhere / "there/mine.toml").write_text("encoders = 3\n")
    monkeypatch.delenv("TEXTINV_ENCODERS")
    with pytest.raises(SettingsError, match=r"encoders \(there/mine\.toml\)"):
        load_settings()


def test_an_unknown_setting_is_refused_with_the_one_that_was_meant(nowhere: Path) -> None:
    (nowhere / "textinv.toml").write_text('[store]\nbuckett = "x"\n')
    with pytest.raises(SettingsError, match=r"'store\.buckett' \(textinv\.toml\): did you mean store\.bucket\?"):
        load_settings()
    (nowhere / "textinv.toml").write_text("[database]\nurl = 1\n")
    with pytest.raises(SettingsError, match="there is no setting 'database'"):
        load_settings()


def test_a_file_that_is_no_toml_is_named(nowhere: Path) -> None:
    (nowhere / "textinv.toml").write_text("home = ")
    with pytest.raises(SettingsError, match=r"textinv\.toml cannot be read as TOML"):
        load_settings()


def test_a_value_that_cannot_be_used_is_named_with_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTINV_GPU_HOUR_PRICE", "cheap")
    with pytest.raises(SettingsError, match=r"gpu_hour_price \(env TEXTINV_GPU_HOUR_PRICE\): .*valid number"):
        load_settings()


def test_secrets_are_not_shown_but_survive_being_sent_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTINV_STORE_SECRET_KEY", "very-secret")
    settings = load_settings().settings
    assert "very-secret" not in repr(settings) + settings.model_dump_json()
    again = pickle.loads(pickle.dumps(settings))
    assert again.store.secret_key.get_secret_value() == "very-secret"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("TEXTINV_STORE_BUKET", "TEXTINV_STORE_BUCKET"),
        ("TEXTINV_BUCKET", "TEXTINV_STORE_BUCKET"),
        ("TEXTINV_SOMETHING_ELSE_ALTOGETHER", "TEXTINV_"),
    ],
)
def test_a_variable_that_names_no_setting_is_refused_with_the_nearest_name(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "mine")
    with pytest.raises(SettingsError, match=f"{name} is not a setting: did you mean {meant}"):
        load_settings()


def test_variables_that_kubernetes_makes_of_services_are_none_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_PORT_DASHBOARD",
        "PORT",
        "PORT_8265_TCP",
        "PORT_8265_TCP_ADDR",
    ):
        monkeypatch.setenv(f"TEXTINV_HEAD_SVC_{name}", "10.0.0.1")
    assert load_settings().settings.store.endpoint_url is None


def test_every_setting_is_explained() -> None:
    assert list(setting_docs()) == setting_names()
    assert all(text.endswith(".") for text in setting_docs().values())


def test_a_base_models_table_is_its_name_with_what_its_file_does_not_say(nowhere: Path) -> None:
    (nowhere / "textinv.toml").write_text(
        '[base_models]\nnoob = {path = "noob.safetensors", prediction_type = "v_prediction"}\nplain = "x/y"\n'
    )
    settings = load_settings().settings
    said = {"noob": "noob.safetensors?prediction_type=v_prediction", "plain": "x/y"}
    assert settings.stated_base_models == said
    assert environment_of(settings)["TEXTINV_BASE_MODELS"] == ",".join(f"{key}={value}" for key, value in said.items())


def test_a_base_models_table_without_a_path_is_refused(nowhere: Path) -> None:
    (nowhere / "textinv.toml").write_text('[base_models]\nnoob = {prediction_type = "v_prediction"}\n')
    with pytest.raises(SettingsError, match="a table of a base model needs a path"):
        load_settings()
