"""Objects in an S3 bucket through boto3.

Owns requests, what a lost reply means, and where boto3's exceptions become ours. Does not decide which store to use
(`connect`), and knows no server in particular: conditions that servers are known to get wrong are probed at connect.
"""

import base64
import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from textinv.errors import (
    ObjectNotFoundError,
    StoreConflictError,
    StoreCredentialsError,
    StoreError,
    StoreUnreachableError,
)
from textinv.settings import StoreSettings
from textinv.store.protocol import BINARY, ObjectInfo, StoredObject, check_key
from textinv.store.s3_client import link_client, s3_client

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

MAX_DELETE = 1000  # keys in one DeleteObjects request, a limit of S3
_CONFLICT_TRIES = 6


class S3Store:
    """Objects below `settings.prefix` in a bucket; share one per process between its threads.

    It can be sent to another process, which makes a client of its own.
    """

    def __init__(self, settings: StoreSettings, *, reads_only: bool = False, answers_soon: bool = False) -> None:
        """`reads_only`: writing is refused here, before the server is asked. `answers_soon`: a server that hangs is
        given up after seconds."""
        self.settings = settings
        self.reads_only = reads_only
        self.answers_soon = answers_soon
        self._root = f"{settings.prefix.strip('/')}/" if settings.prefix.strip("/") else ""
        # SeaweedFS makes writers that collide on one key wait whole seconds; threads of one process take turns instead.
        self._turns = [threading.Lock() for _ in range(64)]

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(S3Store, reads_only=self.reads_only, answers_soon=self.answers_soon), (self.settings,)

    def make_bucket(self) -> None:
        """Make the bucket unless it exists."""
        endpoint, region = self.settings.endpoint_url or "", self.settings.region
        elsewhere = "amazonaws.com" in endpoint and region != "us-east-1"
        where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
        with suppress(StoreConflictError), translated(self.settings, ""):
            self._client.create_bucket(Bucket=self.settings.bucket, **where)

    def get(self, key: str) -> StoredObject:
        """Read an object."""
        with translated(self.settings, key):
            answer = self._client.get_object(**self._address(key))
            return StoredObject(answer["Body"].read(), answer["ETag"])

    def get_if_changed(self, key: str, etag: str) -> StoredObject | None:
        """Read an object unless it still has `etag`."""
        try:
            with translated(self.settings, key):
                answer = self._client.get_object(**self._address(key), IfNoneMatch=etag)
                return StoredObject(answer["Body"].read(), answer["ETag"])
        except StoreError as error:
            if error.details.get("status") == 304:
                return None
            raise

    def put(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """Write an object whatever is there."""
        return self._put(key, body, content_type)

    def create(self, key: str, body: bytes, content_type: str = BINARY) -> str:
        """Write an object that does not exist yet."""
        return self._put_if(key, body, content_type, IfNoneMatch="*")

    def swap(self, key: str, body: bytes, etag: str, content_type: str = BINARY) -> str:
        """Replace an object that still has `etag`."""
        return self._put_if(key, body, content_type, IfMatch=etag)

    def exists(self, key: str) -> bool:
        """Whether there is such an object."""
        try:
            with translated(self.settings, key):
                self._client.head_object(**self._address(key))
        except ObjectNotFoundError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """List objects in order of their keys, a page at a time."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.settings.bucket, Prefix=self._root + prefix
        )
        with translated(self.settings, prefix):
            for page in pages:
                for entry in page.get("Contents", ()):
                    key = entry["Key"].removeprefix(self._root)
                    yield ObjectInfo(key, entry["Size"], entry["ETag"], entry["LastModified"])

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; missing ones are fine."""
        self._check_writing()
        remaining = iter(keys)
        while chunk := [self._root + check_key(key) for _, key in zip(range(MAX_DELETE), remaining, strict=False)]:
            with translated(self.settings, chunk[0]):
                answer = self._client.delete_objects(
                    Bucket=self.settings.bucket, Delete={"Objects": [{"Key": key} for key in chunk], "Quiet": True}
                )
            if errors := answer.get("Errors"):
                first = errors[0]
                kind = StoreCredentialsError if first["Code"] in _REFUSED else StoreError
                raise kind(f"{len(errors)} objects could not be deleted, first {first['Key']}: {first['Code']}")

    def presign(self, key: str, expires_s: int, content_type: str | None = None, filename: str | None = None) -> str:
        """Make a URL that reads the object without credentials for `expires_s` seconds (at most seven days)."""
        address = self._address(key)
        if content_type:
            address["ResponseContentType"] = content_type
        if filename:
            address["ResponseContentDisposition"] = f'attachment; filename="{filename}"'
        with translated(self.settings, key):
            client = link_client(self.settings)
            return str(client.generate_presigned_url("get_object", Params=address, ExpiresIn=expires_s))

    def _address(self, key: str) -> dict[str, str]:
        return {"Bucket": self.settings.bucket, "Key": self._root + check_key(key)}

    def _check_writing(self) -> None:
        if self.reads_only:
            raise StoreCredentialsError(
                f"access key {self.settings.access_key!r} may only read the store at {self.settings.endpoint_url}: "
                "to write, use another one (`textinv store policy` says what each part needs)"
            )

    def _put(self, key: str, body: bytes, content_type: str, **conditions: str) -> str:
        self._check_writing()
        sha256 = base64.b64encode(hashlib.sha256(body).digest()).decode()
        with translated(self.settings, key):
            answer = self._client.put_object(
                **self._address(key), Body=body, ContentType=content_type, ChecksumSHA256=sha256, **conditions
            )
        if "ETag" not in answer:
            raise StoreError(
                f"the store at {self.settings.endpoint_url} does not answer as an S3 store does (no ETag of what was "
                "written): is this its address, and not that of its console or of a web server?",
                key=key,
            )
        return str(answer["ETag"])

    def _put_if(self, key: str, body: bytes, content_type: str, **condition: str) -> str:
        with self._turns[hash(key) % len(self._turns)]:
            return _with_patience(lambda: self._put_once(key, body, content_type, condition))

    def _put_once(self, key: str, body: bytes, content_type: str, condition: dict[str, str]) -> str:
        try:
            return self._put(key, body, content_type, **condition)
        except (StoreConflictError, ObjectNotFoundError) as error:
            # boto3 repeats a request whose reply was lost, and the second one is refused because of the first.
            present = self._get_or_none(key)
            if present is not None and present.body == body:
                return present.etag
            if isinstance(error, ObjectNotFoundError):
                raise StoreConflictError(f"{key!r} is gone", key=key) from error
            raise

    def _get_or_none(self, key: str) -> StoredObject | None:
        try:
            return self.get(key)
        except ObjectNotFoundError:
            return None

    @property
    def _client(self) -> Any:
        with translated(self.settings, ""):
            return s3_client(self.settings, answers_soon=self.answers_soon)


def _with_patience(write: Callable[[], str]) -> str:
    for attempt in range(_CONFLICT_TRIES):
        try:
            return write()
        except StoreConflictError as error:
            if not is_retryable_conflict(error) or attempt == _CONFLICT_TRIES - 1:
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise AssertionError("unreachable")


_MISSING = {"NoSuchKey", "404", "NotFound"}
_REFUSED = {"SignatureDoesNotMatch", "InvalidAccessKeyId", "AccessDenied", "403", "Forbidden", "ExpiredToken"}
_RIGHTS = {
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObjects": "s3:DeleteObject",
}
"""What a key must be allowed for a request, where that has another name."""
_ADVICE = {
    "SignatureDoesNotMatch": "check the secret key",
    "InvalidAccessKeyId": "check the access key",
    "ExpiredToken": "these credentials have expired: get new ones",
}
# 409 is what AWS answers when two conditional writes of one key collide; it may be tried again.
_CONFLICT = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


@contextmanager
def translated(settings: StoreSettings, key: str) -> Iterator[None]:
    """Raise what boto3 raises about `key` as an error of ours."""
    from botocore import exceptions as boto  # a tenth of a second, which `--help` need not wait for

    try:
        yield
    except boto.ClientError as error:
        raise _from_answer(error, settings, key) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError) as error:
        raise StoreCredentialsError(
            f"no credentials for the store at {settings.endpoint_url}: set an access key and a secret key", key=key
        ) from error
    except (boto.ConnectionError, boto.HTTPClientError) as error:
        raise StoreUnreachableError(
            f"the store at {settings.endpoint_url} does not answer ({error}): is it running, and is the address right?",
            key=key,
        ) from error
    except (boto.BotoCoreError, ValueError) as error:
        raise StoreError(f"the store at {settings.endpoint_url} cannot be asked for {key!r}: {error}") from error


def is_retryable_conflict(error: StoreConflictError) -> bool:
    """Whether the store asks for the same conditional write once more."""
    return error.details.get("store_code") in ("ConditionalRequestConflict", "409")


def _from_answer(error: "ClientError", settings: StoreSettings, key: str) -> StoreError:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    where, operation = f"the store at {settings.endpoint_url}", error.operation_name
    said = answer.get("Message") or "no reason given"
    if code.isdecimal() and operation != "HeadObject" and (status or 0) in (400, 404, 405, 406, 415, 500, 501):
        return StoreError(
            f"{where} does not answer as an S3 store does (HTTP {status} to {operation}, and no S3 error): is this its "
            "address, and not that of its console or of a web server?",
            key=key,
            status=status,
        )
    if region := answer.get("Region"):
        return StoreError(
            f"{where} has the bucket {settings.bucket!r} in the region {region}, but the settings name "
            f"{settings.region}: set store.region to {region}",
            key=key,
            status=status,
        )
    if code == "NoSuchBucket":
        return StoreError(
            f"{where} has no bucket {settings.bucket!r}: create it, or name another one in the settings",
            key=key,
            store_code=code,
        )
    if code in _MISSING:
        return ObjectNotFoundError(f"{where} has no object {key!r} in bucket {settings.bucket!r}", key=key)
    if code in _REFUSED or status in (401, 403):
        right = _RIGHTS.get(operation, f"s3:{operation}")
        advice = _ADVICE.get(code, f"let the key do {right} in bucket {settings.bucket!r}, or use another key")
        return StoreCredentialsError(
            f"{where} refuses access key {settings.access_key!r} for {operation} of {key!r} ({code}: {said}): {advice}",
            key=key,
            store_code=code,
        )
    if code in _CONFLICT or status in (409, 412):
        return StoreConflictError(f"somebody else wrote {key!r} first", key=key, store_code=code)
    full = "; a server error can mean a full disk" if (status or 0) >= 500 else ""
    return StoreError(
        f"{where} answered {status} {code} to {operation} of {key!r}: {said}{full}",
        key=key,
        status=status,
    )
