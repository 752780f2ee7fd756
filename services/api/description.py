"""The OpenAPI document: what FastAPI makes of the routes, with examples, and with errors as they really look.

Owns the finishing touches. Examples are in `examples`, or where a route states its own.
"""

from typing import Any

from fastapi import FastAPI

from services.api.errors import error_body
from services.api.examples import EXAMPLES, Example

_ERROR = {
    "title": "Error",
    "type": "object",
    "required": ["error", "detail"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
        },
        "detail": {"type": "string", "description": "The message again, where A1111's clients look for it."},
    },
}
_EXAMPLE_ERROR = error_body(400, "there is no concept 'dotty-fix'; close ones: dotty-fox", "unknown_concept", "prompt")


def describe(app: FastAPI) -> None:
    """Let an application describe itself with examples and true errors."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _finished(plain())
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's documented way


def _finished(document: dict[str, Any]) -> dict[str, Any]:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Error"] = _ERROR
    for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which is never answered here
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _finish(operation, EXAMPLES.get(f"{method.upper()} {path}"))
    return document


def _finish(operation: dict[str, Any], example: Example | None) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    content = {"schema": {"$ref": "#/components/schemas/Error"}, "example": _EXAMPLE_ERROR}
    responses["4XX"] = {"description": "What was sent cannot be honoured.", "content": {"application/json": content}}
    if example is None:
        return
    responses["200"].setdefault("content", {}).setdefault("application/json", {})["example"] = example.answer
    if example.request is not None:
        operation["requestBody"]["content"]["application/json"]["example"] = example.request
