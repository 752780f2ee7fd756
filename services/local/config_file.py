"""The config of a service that is started from a command line: flags over a file over defaults.

Owns reading the file of `--config`, in which any field of `ServiceConfig` may stand that no setting says.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from services.config import ServiceConfig
from textinv.errors import SettingsError

# Each of these is said in one place, which other commands read too.
_SETTINGS = ("home", "ray_address", "store")


def choose_config(path: Path | None, flags: Mapping[str, Any], defaults: Mapping[str, Any]) -> ServiceConfig:
    """Take each field from the flags (None: not given), else from the file, else from `defaults`.

    Fields that are mappings are joined, key by key.

    Raises:
        SettingsError: the file cannot be read, or says something that it may not say.
    """
    chosen = dict(defaults)
    for said in (_fields_in(path), {name: value for name, value in flags.items() if value is not None}):
        for name, value in said.items():
            both = isinstance(value, Mapping) and isinstance(chosen.get(name), Mapping)
            chosen[name] = {**chosen[name], **value} if both else value
    try:
        return ServiceConfig.model_validate(chosen)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}".removeprefix(": ") for one in error.errors()
        )
        raise SettingsError(f"{path or 'the flags'}: {problems}") from error


def _fields_in(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(fields, dict):
        raise SettingsError(f"{path} holds no fields; write one per line, as `safety_checker: false`")
    for name in _SETTINGS:
        if name in fields:
            raise SettingsError(f"{path}: {name} is a setting of textinv; set it where `textinv config` finds it")
    return fields
