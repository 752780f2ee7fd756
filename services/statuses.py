"""Which HTTP status each error gets: the one table.

Clients send a request again on 408, 409, 429 and 5xx, so nothing that a caller did wrong has one of these.
"""

from collections.abc import Mapping

from textinv.errors import AccessError, TextinvError, UnknownConceptError

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
    "object_not_found": 404,
    "store_conflict": 503,
    "corrupt_object": 500,
    "training_failed": 500,
    "diverged": 500,
    "out_of_memory": 503,
    "cancelled": 499,
    "poisoned": 500,
    "cluster_failed": 503,
    "service_failed": 503,
    "overloaded": 429,
    "deadline": 429,
    "not_ready": 503,
}

CLIENT_GONE = 499
_RETRY_AFTER_S = 2


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
