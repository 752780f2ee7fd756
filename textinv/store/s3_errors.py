"""Where boto3's exceptions become ours.

Owns the translation only; which request was made is told by its caller.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from textinv.errors import (
    ObjectNotFoundError,
    StoreConflictError,
    StoreCredentialsError,
    StoreError,
    StoreUnreachableError,
)
from textinv.settings import StoreSettings

_MISSING = {"NoSuchKey", "404", "NotFound"}
_REFUSED = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "403", "Forbidden", "ExpiredToken"}
# 409 is what AWS answers when two conditional writes of one key collide; it may be tried again.
_CONFLICT = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


@contextmanager
def translated(settings: StoreSettings, key: str) -> Iterator[None]:
    """Raise what boto3 raises about `key` as an error of ours."""
    try:
        yield
    except ClientError as error:
        raise _from_answer(error, settings, key) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise StoreCredentialsError(
            f"no credentials for the store at {settings.endpoint_url}: set an access key and a secret key", key=key
        ) from error
    except (ConnectionError, HTTPClientError) as error:
        raise StoreUnreachableError(
            f"the store at {settings.endpoint_url} does not answer ({error}): is it running, and is the address right?",
            key=key,
        ) from error
    except (BotoCoreError, ValueError) as error:
        raise StoreError(f"the store at {settings.endpoint_url} cannot be asked for {key!r}: {error}") from error


def is_retryable_conflict(error: StoreConflictError) -> bool:
    """Whether the store asks for the same conditional write once more."""
    return error.details.get("store_code") in ("ConditionalRequestConflict", "409")


def _from_answer(error: ClientError, settings: StoreSettings, key: str) -> StoreError:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    where = f"the store at {settings.endpoint_url}"
    if code == "NoSuchBucket":
        return StoreError(
            f"{where} has no bucket {settings.bucket!r}: create it, or name another one in the settings",
            key=key,
            store_code=code,
        )
    if code in _MISSING:
        return ObjectNotFoundError(f"{where} has no object {key!r} in bucket {settings.bucket!r}", key=key)
    if code in _REFUSED or status in (401, 403):
        return StoreCredentialsError(
            f"{where} refuses access key {settings.access_key!r} ({code}): check both keys and what they may do",
            key=key,
        )
    if code in _CONFLICT or status in (409, 412):
        return StoreConflictError(f"somebody else wrote {key!r} first", key=key, store_code=code)
    said = answer.get("Message") or "no reason given"
    return StoreError(
        f"{where} answered {status} {code} to a request for {key!r}: {said}; a server error (5xx) can mean a full disk",
        key=key,
        status=status,
    )
