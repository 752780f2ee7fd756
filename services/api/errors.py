"""What an error looks like over HTTP: OpenAI's four keys, whatever went wrong.

Owns the one table of HTTP statuses, and the translation of our errors, of FastAPI's and of everything unforeseen.
Clients send a request again on 408, 409, 429 and 5xx, so nothing that a caller did wrong has one of these.
"""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.log_lines import note
from textinv.errors import AccessError, RequestError, TextinvError, UnknownConceptError

log = logging.getLogger(__name__)

STATUSES: Mapping[str, int] = {
    "error": 500,
    "invalid_input": 400,
    "invalid_settings": 500,
    "invalid_manifest": 400,
    "invalid_image": 400,
    "invalid_prompt": 400,
    "invalid_request": 400,
    "unknown_concept": 400,
    "invalid_embedding": 400,
    "other_base_model": 400,
    "access_denied": 401,
    "content_policy_violation": 400,
    "base_model_unavailable": 503,
    "store_failed": 503,
    "store_unreachable": 503,
    "store_credentials": 503,
    "store_unsafe": 503,
    "store_old_format": 503,
    "object_not_found": 404,
    "store_conflict": 503,
    "corrupt_object": 500,
    "training_failed": 500,
    "diverged": 500,
    "out_of_memory": 503,
    "cancelled": 499,
    "poisoned": 500,
    "needs_newer_worker": 503,
    "cluster_failed": 503,
    "service_failed": 503,
    "overloaded": 429,
    "deadline": 429,
    "not_ready": 503,
}

_SAID_ELSEWHERE = {
    "steps": "num_inference_steps",
    "num_steps": "num_inference_steps",
    "cfg_scale": "guidance_scale",
    "cfg": "guidance_scale",
    "sampler": "noise_scheduler",
    "sampler_name": "noise_scheduler",
    "num_images": "n",
    "batch_size": "n",
    "width": "size",
    "height": "size",
}
"""What other services call the fields of drawing requests."""
CLIENT_GONE = 499
_RETRY_AFTER_S = 2

# Fields of `GenerateRequest` by the names that callers know.
_PARAMS = {"num_images": "n", "width_px": "size", "height_px": "size", "init_image": "image"}
_CODES = {401: "access_denied", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
_FAILED = "service_failed"


def error_body(status: int, message: str, code: str, param: str | None = None) -> dict[str, Any]:
    """The JSON of an error; `detail` is where A1111's clients look."""
    return {
        "error": {"message": message, "type": type_of(status), "param": param, "code": code},
        "detail": message,
    }


def error_of(error: TextinvError, *, named_in_path: bool = False) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Status, JSON and headers of one of our errors."""
    status = status_of(error, named_in_path=named_in_path)
    param: str | None = error.details.get("param")
    if isinstance(error, UnknownConceptError) and not named_in_path:
        param = param or "prompt"
    problems: list[dict[str, Any]] = error.details.get("problems") or []
    param = param or next((problem["field"] or None for problem in problems), None)
    wait_s = retry_after_s(error, status)
    headers = {} if wait_s is None else {"Retry-After": str(wait_s)}
    body = error_body(status, error.message, error.code, _PARAMS.get(param or "", param))
    return status, body | ({"problems": problems} if problems else {}), headers


def add_error_handlers(app: FastAPI) -> None:
    """Make every error of an application look alike."""
    app.add_exception_handler(TextinvError, _answer_own)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(Exception, _answer_unforeseen)


def refusal(problems: list[Any]) -> RequestError:
    """Say the first of pydantic's problems as one of ours, naming the field."""
    first = problems[0]
    where = [str(part) for part in first["loc"] if part not in ("body", "query", "path", "header")]
    param = ".".join(where) or None
    if first["type"] == "extra_forbidden":
        meant = _SAID_ELSEWHERE.get(where[-1])
        message = f"there is no parameter {param!r}; " + (
            f"did you mean {meant!r}?" if meant else "leave it out or correct its name"
        )
    elif first["type"] == "json_invalid":
        message, param = f"the body is not JSON: {first.get('ctx', {}).get('error', first['msg'])}", None
    elif first["type"] == "model_attributes_type" and not where:
        message = "the body is no JSON object: send JSON, with the header content-type: application/json"
    else:
        said = first["msg"].removeprefix("Value error, ")
        message = f"{param}: {said[:1].lower()}{said[1:]}" if param else said
    return RequestError(message, param=param)


async def _answer_own(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, TextinvError)
    status, body, headers = error_of(error, named_in_path=bool(request.path_params))
    note(error=error.code)
    if status >= 500:
        log.warning("%s %s: %s: %s", request.method, request.url.path, error.code, error.message)
    return JSONResponse(body, status, headers)


async def _answer_invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return await _answer_own(request, refusal(list(error.errors())))


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers: Mapping[str, str] | None = error.headers
    code = _CODES.get(error.status_code, "invalid_request")
    note(error=code)
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse(error_body(error.status_code, message, code), error.status_code, headers)


async def _answer_unforeseen(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    note(error=_FAILED)
    return JSONResponse(error_body(500, "the service failed; its log says why", _FAILED), 500)


def status_of(error: TextinvError, *, named_in_path: bool = False) -> int:
    """The status of an error; what a path names and is not there is 404, a key without the role is 403."""
    if named_in_path and isinstance(error, UnknownConceptError):
        return 404
    if isinstance(error, AccessError) and error.details.get("role"):
        return 403
    return STATUSES[error.code]


def retry_after_s(error: TextinvError, status: int) -> int | None:
    """Seconds after which to come back; None when coming back is no use."""
    if status not in (429, 503):
        return None
    return max(1, int(error.details.get("retry_after_s", _RETRY_AFTER_S)))


def type_of(status: int) -> str:
    """OpenAI's `type` of an error with this status."""
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"
