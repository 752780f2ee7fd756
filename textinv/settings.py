"""Where things are: the object store, its credentials, base models, the cluster, the service.

Owns reading them from one place after the other: flag, else environment, else settings file, else default; and the
memory of where each came from. Does not connect to anything.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from textinv.errors import SettingsError
from textinv.folders import find_settings_file, find_state

ENVIRONMENT_PREFIX = "TEXTINV_"
FILE_VARIABLE = "TEXTINV_CONFIG"
_OTHER_VARIABLES = (FILE_VARIABLE, "TEXTINV_TO_ACCESS_KEY", "TEXTINV_TO_SECRET_KEY")
_OF_KUBERNETES = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT(_\d+_(TCP|UDP|SCTP)(_|$)|$)")
"""What it puts into every pod of a namespace for a service, as `TEXTINV_HEAD_SVC_PORT` for `textinv-head-svc`."""
EMBEDDED = "embedded store"
OWN_BASE_MODELS: Mapping[str, str] = {"emoji": str(Path(__file__).parent / "demo" / "weights")}
"""Aliases of the base models that come with every installation, each in its own folder."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StoreSettings(_Frozen):
    """Where embeddings, pictures and job state lie."""

    endpoint_url: str | None = None
    """URL of an S3-compatible server; none: a server of our own under `home` (the embedded store) is used."""
    public_endpoint_url: str | None = None
    """URL at which callers reach the same server, where it is another one: links to pictures name it, as they are
    signed for one host. None: `endpoint_url`."""
    bucket: str = "textinv"
    """Bucket that holds everything; it is created when it is missing."""
    prefix: str = ""
    """Put before every key, so that several installations can share a bucket."""
    access_key: str | None = None
    """Access key; none: whatever boto3 finds (AWS_... variables, profiles, instance roles)."""
    secret_key: SecretStr | None = None
    """Secret key that belongs to `access_key`."""
    region: str = "us-east-1"
    """Region of the bucket; servers other than AWS mostly ignore it."""

    @model_validator(mode="before")
    @classmethod
    def _take_endpoint_apart(cls, said: Any) -> Any:
        """Providers print endpoints with the bucket in the path (Cloudflare R2) or before the host (Spaces)."""
        if not isinstance(said, Mapping) or not isinstance(said.get("endpoint_url"), str):
            return said
        endpoint, bucket = _endpoint_and_bucket(said["endpoint_url"], said.get("bucket"))
        return {**said, "endpoint_url": endpoint} | ({"bucket": bucket} if bucket else {})

    @field_validator("public_endpoint_url")
    @classmethod
    def _is_a_host(cls, said: str | None) -> str | None:
        parts = urlsplit(said or "")
        if said is not None and not (parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/")):
            raise ValueError(f"{said!r} is not of the form https://host or https://host:port")
        return said

    def without_keys(self) -> "StoreSettings":
        """The same place, for somebody who has keys of their own."""
        return self.model_copy(update={"access_key": None, "secret_key": None})


class Settings(_Frozen):
    """Everything that is said once and holds for every command."""

    store: StoreSettings = Field(default_factory=StoreSettings)
    """The object store."""
    home: Path = Field(default_factory=find_state)
    """Folder for local state: data of the embedded store, caches, logs. Default: `.textinv` in the working directory or
    in the nearest folder above that has one or a `textinv.toml`, as git finds its repository; where there is none, the
    user's `~/.local/share/textinv`. `mkdir .textinv` gives a folder, and all in it, state of its own."""
    base_models: Mapping[str, str] = Field(default=OWN_BASE_MODELS)
    """Short names of base models: alias = hub id, folder or file. `emoji` is the one that comes with textinv, unless
    it is given another meaning here. A single file may be followed by what it does not say itself, here and wherever a
    base model is named: `model.safetensors?prediction_type=v_prediction&config=FOLDER`; `prediction_type` is epsilon,
    v_prediction or sample, `config` a diffusers folder with configs and tokenizer. Any may be followed by `clip_skip`,
    the layer of its text encoder that is read, in training too: 2 for the one before its own, as many anime models
    want. In a settings file a table says the same:
    `{path = "model.safetensors", prediction_type = "v_prediction", clip_skip = 2}`."""
    encoders: tuple[Path, ...] = ()
    """CLIP or DINO folders that score what was learned, the most telling one first; none: the base model's own CLIP.
    Only a CLIP scores editability. Workers on other machines need them at the same paths; a driver that is running
    keeps what it was started with."""
    ray_address: str | None = None
    """Address of the Ray cluster; none: a local Ray is started when it is needed."""
    service_url: str = "http://127.0.0.1:8000"
    """Where the HTTP service is asked for."""
    service_key: SecretStr | None = None
    """Key for the HTTP service, when it asks for one."""
    device: str = "auto"
    """Device for commands that compute on this machine: auto, cpu, cuda, cuda:1, mps."""
    gpu_hour_price: float | None = Field(default=None, ge=0)
    """Price of one GPU hour in any currency; with it, `plan` estimates costs."""

    @field_validator("base_models")
    @classmethod
    def _with_own(cls, said: Mapping[str, str]) -> Mapping[str, str]:
        return {**OWN_BASE_MODELS, **said}

    @field_validator("base_models", mode="before")
    @classmethod
    def _in_one_line(cls, said: object) -> object:
        return {alias: _one_line(where) for alias, where in said.items()} if isinstance(said, Mapping) else said

    @property
    def stated_base_models(self) -> dict[str, str]:
        """The aliases that were said; others stand for folders of this installation, which mean nothing elsewhere."""
        return {alias: where for alias, where in self.base_models.items() if OWN_BASE_MODELS.get(alias) != where}

    @field_validator("encoders", mode="before")
    @classmethod
    def _split(cls, said: object) -> object:
        return _folders(said)

    @field_validator("encoders")
    @classmethod
    def _usable(cls, folders: tuple[Path, ...]) -> tuple[Path, ...]:
        if bad := next((folder for folder in folders if "," in str(folder)), None):
            raise ValueError(f"{bad} cannot be passed to a worker: give the folder a name without a comma")
        return tuple(folder.expanduser() for folder in folders)


@dataclass(frozen=True)
class LoadedSettings:
    """Settings, and for each (by its dotted name) where its value came from."""

    settings: Settings
    origin: Mapping[str, str]


@dataclass(frozen=True)
class _Said:
    """A value that one place gave for a setting."""

    value: object
    origin: str


def load_settings(overrides: Mapping[str, object] | None = None) -> LoadedSettings:
    """Read settings; `overrides` are what flags said, by dotted name (`store.bucket`).

    Files: the one that `TEXTINV_CONFIG` names, else `textinv.toml` in the working directory or above (see
    `textinv.folders`), else `~/.config/textinv/config.toml`. Variables: `TEXTINV_STORE_BUCKET` for `store.bucket`, and
    so on.

    Raises:
        SettingsError: a file cannot be read, or a name or value cannot be used.
    """
    _check_variables()
    given = {**_from_file(), **_from_environment()}
    given |= {name: _Said(value, "flag") for name, value in (overrides or {}).items() if value is not None}
    for name, said in given.items():
        _check_name(name, said.origin)
    try:
        settings = Settings.model_validate(_nested(given))
    except ValidationError as error:
        raise SettingsError("; ".join(_explanations(error, given))) from None
    origin = {name: given[name].origin if name in given else "default" for name in setting_names()}
    if settings.store.endpoint_url is None:
        origin["store.endpoint_url"] = EMBEDDED
    return LoadedSettings(settings, origin)


def setting_names() -> list[str]:
    """Dotted names of all settings, in the order of their definition."""
    return [name for name, _ in _fields(Settings)]


def setting_docs() -> dict[str, str]:
    """What each setting means, by dotted name."""
    return dict(_fields(Settings))


def variable_of(name: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + name.upper().replace(".", "_")


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, for processes that are started with them."""
    found = {}
    for name in setting_names():
        value: object = settings
        for part in name.split("."):
            value = getattr(value, part)
        if name == "home":
            value = settings.home.absolute()
        elif name == "base_models":
            value = ",".join(f"{alias}={where}" for alias, where in settings.stated_base_models.items()) or None
        elif name == "encoders":
            value = ",".join(str(folder.absolute()) for folder in settings.encoders) or None
        elif hasattr(value, "get_secret_value"):
            value = value.get_secret_value()
        if value not in (None, ""):
            found[variable_of(name)] = str(value)
    return found


_BUCKET_HOST = re.compile(r"(?P<bucket>[a-z0-9][a-z0-9.-]+)\.(?P<host>[a-z0-9-]+\.digitaloceanspaces\.com)")


def _endpoint_and_bucket(url: str, bucket: str | None) -> tuple[str, str | None]:
    """Take an endpoint apart into the server's URL and the bucket that it names, if any."""
    parts = urlsplit(url)
    path, found = parts.path.strip("/"), _BUCKET_HOST.fullmatch(parts.hostname or "")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not the URL of a server: write http://HOST:PORT or https://HOST")
    if parts.query or parts.fragment or "/" in path:
        raise ValueError(f"{url!r} is more than the URL of a server: write it as {parts.scheme}://{parts.netloc}")
    named = path or (found["bucket"] if found else "")
    if not named:
        return url, bucket
    if bucket is not None and bucket != named:
        raise ValueError(
            f"{url!r} names the bucket {named!r}, and store.bucket is {bucket!r}: leave the bucket out of the URL"
        )
    netloc = parts.netloc.removeprefix(f"{named}.") if found and not path else parts.netloc
    return f"{parts.scheme}://{netloc}", named


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach a host."""
    return host in ("127.0.0.1", "localhost", "::1")


def _check_variables() -> None:
    """Refuse variables that look like settings and are none, but for those that Kubernetes makes of services' names.

    Raises:
        SettingsError: there is one.
    """
    known = [*map(variable_of, setting_names()), *_OTHER_VARIABLES]
    for name in sorted(os.environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and not _OF_KUBERNETES.search(name):
            (close,) = difflib.get_close_matches(name, known, 1, 0)
            raise SettingsError(
                f"the variable {name} is not a setting: did you mean {close}? Correct or unset it",
                setting=name,
            )


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        if field.annotation is StoreSettings:
            yield from _fields(StoreSettings, f"{name}.")
        else:
            yield prefix + name, field.description or ""


def settings_file() -> Path | None:
    """The settings file that holds here.

    Raises:
        SettingsError: `TEXTINV_CONFIG` names a file that does not exist.
    """
    if named := os.environ.get(FILE_VARIABLE):
        if not Path(named).is_file():
            raise SettingsError(f"{FILE_VARIABLE} names {named}, which is not a file: correct or unset it")
        return Path(named)
    return find_settings_file()


def _from_file() -> dict[str, _Said]:
    path = settings_file()
    if path is None:
        return {}
    try:
        stated = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from error
    given = {name: _Said(value, str(path)) for name, value in _flat(stated)}
    if "home" in given:
        given["home"] = _Said(path.parent / Path(str(given["home"].value)).expanduser(), str(path))
    if "encoders" in given and isinstance(folders := _folders(given["encoders"].value), list):
        given["encoders"] = _Said([path.parent / Path(str(folder)).expanduser() for folder in folders], str(path))
    return given


def _flat(stated: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name, value in stated.items():
        if name == "store" and isinstance(value, dict):
            yield from ((f"store.{inner}", given) for inner, given in value.items())
        else:
            yield name, value


def _from_environment() -> dict[str, _Said]:
    given: dict[str, _Said] = {}
    for name in setting_names():
        text = os.environ.get(variable_of(name))
        if text:
            value = _pairs(text, variable_of(name)) if name == "base_models" else text
            given[name] = _Said(value, f"env {variable_of(name)}")
    return given


def _pairs(text: str, variable: str) -> dict[str, str]:
    """Parse `alias=where,alias=where`."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(alias.strip() and where.strip() for alias, _, where in pairs):
        raise SettingsError(f"{variable}={text!r} is not of the form alias=where,alias=where")
    return {alias.strip(): where.strip() for alias, _, where in pairs}


def _one_line(where: object) -> object:
    """Write a table `{path = WHERE, KEY = VALUE}` as `WHERE?KEY=VALUE`; anything else stays what it is."""
    if not isinstance(where, Mapping):
        return where
    if "path" not in where:
        raise ValueError('a table of a base model needs a path, as {path = "model.safetensors"}')
    rest = "&".join(f"{key}={value}" for key, value in where.items() if key != "path")
    return f"{where['path']}?{rest}" if rest else str(where["path"])


def _folders(said: object) -> object:
    """Parse `folder,folder`; anything else stays what it is."""
    return [part.strip() for part in said.split(",") if part.strip()] if isinstance(said, str) else said


def _check_name(name: str, origin: str) -> None:
    known = setting_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f": did you mean {close[0]}?" if close else f": known are {', '.join(known)}"
        raise SettingsError(f"there is no setting {name!r} ({origin}){hint}", setting=name)


def _nested(given: Mapping[str, _Said]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, said in given.items():
        *folders, last = name.split(".")
        target = nested
        for folder in folders:
            target = target.setdefault(folder, {})
        target[last] = said.value
    return nested


def _explanations(error: ValidationError, given: Mapping[str, _Said]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        dotted = ".".join(str(part) for part in problem["loc"])
        said = next((said for name, said in given.items() if dotted.startswith(name)), None)
        where = f" ({said.origin})" if said else ""
        yield f"setting {dotted}{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}"
