"""What a store says is passed on, with what to change; what is no store is told as such."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from pydantic import SecretStr, ValidationError

from textinv.errors import StoreCredentialsError, StoreError
from textinv.settings import StoreSettings
from textinv.store import MemoryStore, connect_store
from textinv.store.connect import probe_conditional_writes
from textinv.store.protocol import ObjectInfo


def answered(status: int, body: str, **headers: str) -> StoreError:
    """What connecting to a server that always answers so raises."""

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body.encode())

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with pytest.raises(StoreError) as caught:
            connect_store(StoreSettings(endpoint_url=url, bucket="b", access_key="k", secret_key=SecretStr("s")))
        return caught.value
    finally:
        server.shutdown()
        server.server_close()


def s3_error(code: str, message: str, more: str = "") -> str:
    return f"<Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("AccessDenied", "Access Denied by policy 7.", "let the key do s3:PutObject in bucket 'b'"),
        ("SignatureDoesNotMatch", "The signature differs.", "check the secret key"),
        ("InvalidAccessKeyId", "No such key.", "check the access key"),
        ("ExpiredToken", "The token has expired.", "get new ones"),
    ],
)
def test_a_refusal_has_the_stores_own_reason_and_what_to_change(code: str, message: str, advice: str) -> None:
    error = answered(403, s3_error(code, message))
    assert isinstance(error, StoreCredentialsError)
    assert f"{code}: {message}" in error.message
    assert advice in error.message


def test_a_wrong_region_is_told_with_the_right_one() -> None:
    error = answered(400, s3_error("AuthorizationHeaderMalformed", "wrong", "<Region>eu-central-1</Region>"))
    assert "set store.region to eu-central-1" in error.message


def test_a_console_says_so_itself_and_nothing_is_said_of_disks() -> None:
    error = answered(400, s3_error("InvalidArgument", "S3 API Requests must be made to API port."))
    assert "S3 API Requests must be made to API port." in error.message
    assert "disk" not in error.message


@pytest.mark.parametrize("status", [200, 404, 405, 501])
def test_a_web_server_that_is_no_store_is_told_as_one(status: int) -> None:
    error = answered(status, "<!doctype html><html>hello</html>", **{"Content-Type": "text/html"})
    assert "does not answer as an S3 store does" in error.message
    assert "is gone" not in error.message


class Careless(MemoryStore):
    """A store that lists nothing, or deletes nothing, as one does whose bucket is in its URL."""

    def __init__(self, *, lists: bool) -> None:
        super().__init__()
        self._lists = lists

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return super().list(prefix) if self._lists else iter(())

    def delete(self, keys: object) -> None:
        return


@pytest.mark.parametrize(("lists", "said"), [(False, "does not list"), (True, "keeps an object that was deleted")])
def test_a_store_is_used_only_if_it_lists_and_deletes(lists: bool, said: str) -> None:
    with pytest.raises(StoreError, match=said):
        probe_conditional_writes(Careless(lists=lists), "somewhere")


@pytest.mark.parametrize(
    ("url", "bucket", "taken"),
    [
        ("http://127.0.0.1:8333", None, ("http://127.0.0.1:8333", "textinv")),
        ("https://acc.r2.cloudflarestorage.com/pics", None, ("https://acc.r2.cloudflarestorage.com", "pics")),
        ("https://acc.r2.cloudflarestorage.com/pics/", "pics", ("https://acc.r2.cloudflarestorage.com", "pics")),
        ("https://pics.nyc3.digitaloceanspaces.com", None, ("https://nyc3.digitaloceanspaces.com", "pics")),
        ("https://nyc3.digitaloceanspaces.com/pics", None, ("https://nyc3.digitaloceanspaces.com", "pics")),
        ("https://nyc3.digitaloceanspaces.com", "pics", ("https://nyc3.digitaloceanspaces.com", "pics")),
    ],
)
def test_endpoints_are_taken_apart_as_providers_print_them(
    url: str, bucket: str | None, taken: tuple[str, str]
) -> None:
    said = {"endpoint_url": url} | ({"bucket": bucket} if bucket else {})
    settings = StoreSettings.model_validate(said)
    assert (settings.endpoint_url, settings.bucket) == taken


@pytest.mark.parametrize(
    ("url", "bucket", "problem"),
    [
        ("https://acc.r2.cloudflarestorage.com/pics", "other", "leave the bucket out of the URL"),
        ("https://host/a/b", None, "is more than the URL of a server"),
        ("https://host/?x=1", None, "is more than the URL of a server"),
        ("host:9000", None, "is not the URL of a server"),
    ],
)
def test_an_endpoint_that_cannot_be_meant_is_refused(url: str, bucket: str | None, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        StoreSettings.model_validate({"endpoint_url": url} | ({"bucket": bucket} if bucket else {}))
