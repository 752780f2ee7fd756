"""Checking a Serve config before it is deployed.

Ray's own schema takes any unknown key in silence (`max_ongoing_request`), so that a typo is a setting that never holds;
here every key must be known, and `args` must be a `ServiceConfig`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.schema import ServeDeploySchema

from services.config import ServiceConfig
from textinv.errors import SettingsError

IMPORT_PATH = "services.application:build"


def check_serve_file(path: Path) -> ServeDeploySchema:
    """Read a Serve config strictly.

    Raises:
        SettingsError: a key is unknown, or a value cannot be used; the message names all of them.
    """
    try:
        stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        schema = ServeDeploySchema.model_validate(stated)
        for application in schema.applications:
            if application.import_path == IMPORT_PATH:
                ServiceConfig.model_validate(application.args)
    except (ValidationError, yaml.YAMLError) as error:
        raise SettingsError(f"{path}: {error}") from error
    unknown = list(_unknown_keys(stated, ServeDeploySchema, ""))
    if unknown:
        raise SettingsError(f"{path}: unknown keys {', '.join(unknown)}; correct or remove them", keys=unknown)
    return schema


def _unknown_keys(stated: Any, model: type[BaseModel], where: str) -> Iterator[str]:
    """Walk a document beside its schema; fields that are plain dictionaries hold anything."""
    for key, value in stated.items() if isinstance(stated, Mapping) else ():
        if key not in model.model_fields:
            yield f"{where}{key}"
            continue
        inner = _model_in(model.model_fields[key].annotation)
        if inner is None:
            continue
        for index, item in enumerate(value if isinstance(value, Sequence) else [value]):
            place = f"{where}{key}[{index}]." if isinstance(value, Sequence) else f"{where}{key}."
            yield from _unknown_keys(item, inner, place)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model that an annotation speaks of (`X`, `X | None`, `list[X]`)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)
