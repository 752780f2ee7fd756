"""What a checker found, in words that say what to change.

Owns translating pydantic's errors into problems with a line, a field and a remedy. Does not know YAML.
"""

import difflib
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from textinv.manifest.fields import Manifest
from textinv.manifest.origin import Origin, Place, Problem


def explain(error: ValidationError, origin: Origin) -> Iterator[Problem]:
    """Each problem once; the alternatives of a field that may be several things are joined by "or"."""
    grouped: dict[Place, list[ErrorDetails]] = {}
    for detail in error.errors(include_url=False, include_context=True):
        place = origin.known_part(detail["loc"])
        if detail["input"] is None and place and isinstance(place[-1], str):
            continue  # a key without a value was already found in the YAML
        if detail["type"] in ("missing", "extra_forbidden"):
            place = (*origin.known_part(detail["loc"][:-1]), str(detail["loc"][-1]))
        grouped.setdefault(place, []).append(detail)
    inner = {place[:depth] for place in grouped for depth in range(len(place))}
    for place, details in grouped.items():
        telling = [detail for detail in details if detail["type"] not in _KINDS]
        if place in inner and not telling and isinstance(details[0]["input"], list | dict):
            continue  # one form of the field fits, and what is wrong inside it is reported there
        if isinstance(details[0]["input"], list) and telling:
            details = telling
        yield origin.problem(place, _message(details, place))


def _message(details: list[ErrorDetails], place: Place) -> str:
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        return _unknown(str(place[-1]), fields_at(place[:-1]))
    if detail["type"] == "missing":
        return "this field is missing: write it"
    expected = list(dict.fromkeys(_expected(one) for one in details))
    return f"must {' or '.join(expected)}, not {_shown(detail['input'])}{_hint(details)}"


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in _KINDS:
        return f"be {_KINDS[kind]}"
    if kind == "literal_error":
        return f"be {context['expected']}"
    if kind in ("too_short", "too_long"):
        bound = context.get("min_length", context.get("max_length"))
        return f"hold at {'least' if kind == 'too_short' else 'most'} {bound} {'entry' if bound == 1 else 'entries'}"
    if kind in ("string_too_short", "string_too_long"):
        bound = context.get("min_length", context.get("max_length"))
        return f"have at {'least' if kind == 'string_too_short' else 'most'} {bound} characters"
    return detail["msg"].removeprefix("Input should ")


_KINDS = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "model_type": "a mapping of fields",
    "model_attributes_type": "a mapping of fields",
    "dict_type": "a mapping",
}


def _hint(details: list[ErrorDetails]) -> str:
    given = details[0]["input"]
    if isinstance(given, bool | int | float) and any(detail["type"] == "string_type" for detail in details):
        return ": put it in quotes"
    literal = next((detail["ctx"] for detail in details if detail["type"] == "literal_error"), None)
    return _close(given, literal) if literal else ""


def _shown(given: Any) -> str:
    if given is None:
        return "nothing"
    if isinstance(given, dict | list):
        kind = "mapping" if isinstance(given, dict) else "list"
        return f"a {kind}" if given else f"an empty {kind}"
    text = repr(given)
    return text if len(text) <= 60 else text[:57] + "..."


def _close(given: Any, context: dict[str, Any]) -> str:
    allowed = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
    close = difflib.get_close_matches(str(given).lower(), allowed, 1)
    return f": did you mean {close[0]!r}?" if close else ""


_SAID_ELSEWHERE = {
    "steps": "max_steps",
    "max_train_steps": "max_steps",
    "lr": "learning_rate",
    "batch_size": "samples_per_step",
    "train_batch_size": "samples_per_step",
    "resolution": "resolution_px",
    "size": "resolution_px",
    "vectors": "num_vectors",
    "initializer": "init",
    "initializer_token": "init",
    "placeholder": "name",
    "placeholder_token": "name",
    "token": "name",
    "pictures": "images",
    "train_data_dir": "images",
    "model": "base_model",
}
"""What other programs call our fields."""


def _unknown(name: str, known: list[str]) -> str:
    meant = _SAID_ELSEWHERE.get(name)
    close = [meant] if meant in known else difflib.get_close_matches(name, known, 1, 0.6)
    if close and close[0]:
        return f"there is no field {name!r}: did you mean {close[0]!r}?"
    elsewhere = _elsewhere(name)
    if elsewhere:
        return f"there is no field {name!r} here: it belongs {elsewhere}"
    return f"there is no field {name!r} here: known are {', '.join(known)}"


def _elsewhere(name: str) -> str:
    places = {(): "at the top", ("defaults",): "under defaults or in a concept", ("concepts", 0): "in a concept"}
    places[("defaults", "advanced")] = "under advanced"
    return next((words for place, words in places.items() if name in fields_at(place)), "")


def fields_at(place: Place) -> list[str]:
    """Fields that may be written at a place."""
    model: Any = Manifest
    for part in place:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if model is not None else None
        model = _model_in(field.annotation) if field is not None else None
    return list(model.model_fields) if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, list, typing.Annotated):
        return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)
    return None
