"""Connecting: what is wrong with a store is said at once and in words."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from pydantic import SecretStr

from textinv.errors import StoreCredentialsError, StoreError, StoreUnreachableError, StoreUnsafeError
from textinv.settings import Settings, StoreSettings, environment_of
from textinv.store import S3Store, connect_store


def _settings(port: int) -> StoreSettings:
    return StoreSettings(
        endpoint_url=f"http://127.0.0.1:{port}", bucket="b", access_key="key", secret_key=SecretStr("secret")
    )


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class CarelessServer(BaseHTTPRequestHandler):
    """Keeps objects as S3 does, but does not look at If-None-Match and If-Match, as several servers do not."""

    protocol_version = "HTTP/1.1"  # answers "Expect: 100-continue", for which boto3 would wait a second
    objects: dict[str, bytes]
    honours_create: bool

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.honours_create and self.headers["If-None-Match"] and self.path in self.objects:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        self.objects[self.path] = body
        self._answer(200)

    def do_GET(self) -> None:
        found = self.objects.get(self.path)
        self._answer(200, found) if found is not None else self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"<DeleteResult/>")

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"tag"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def _serve(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("honours_create", "what"), [(False, "If-None-Match"), (True, "If-Match")])
def test_a_store_that_ignores_conditions_is_refused(honours_create: bool, what: str) -> None:
    kind = type("Careless", (CarelessServer,), {"objects": {}, "honours_create": honours_create})
    with _serve(kind) as port, pytest.raises(StoreUnsafeError, match=what) as caught:
        connect_store(_settings(port))
    assert f"127.0.0.1:{port}" in caught.value.message
    assert "SeaweedFS" in caught.value.message


def test_a_store_that_does_not_answer_is_named() -> None:
    port = _closed_port()
    with pytest.raises(StoreUnreachableError, match=f"127.0.0.1:{port}.*is it running"):
        connect_store(_settings(port))


def test_an_answer_that_is_not_s3_is_an_error_of_ours() -> None:
    class NotS3(CarelessServer):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(418, b"I am a teapot")

    with _serve(NotS3) as port, pytest.raises(StoreError):
        connect_store(_settings(port))


def test_a_host_that_does_not_exist_is_unreachable() -> None:
    settings = _settings(1).model_copy(update={"endpoint_url": "http://no-such-host.invalid:9"})
    with pytest.raises(StoreUnreachableError, match=r"no-such-host\.invalid"):
        connect_store(settings)


def test_an_address_that_is_none_is_refused_in_words() -> None:
    settings = _settings(1).model_copy(update={"endpoint_url": "not a url"})
    with pytest.raises(StoreError, match="not a url"):
        connect_store(settings)


@pytest.mark.store
def test_a_wrong_secret_is_refused_with_the_access_key_named(s3_settings: StoreSettings) -> None:
    wrong = s3_settings.model_copy(update={"secret_key": SecretStr("wrong")})
    with pytest.raises(StoreCredentialsError, match=str(s3_settings.access_key)) as caught:
        connect_store(wrong)
    assert "wrong" not in caught.value.message


@pytest.mark.store
def test_an_unknown_access_key_is_refused(s3_settings: StoreSettings) -> None:
    wrong = s3_settings.model_copy(update={"access_key": "nobody"})
    with pytest.raises(StoreCredentialsError, match="nobody"):
        connect_store(wrong)


@pytest.mark.store
def test_a_missing_bucket_is_made_at_connect(s3_settings: StoreSettings) -> None:
    store = connect_store(s3_settings.model_copy(update={"bucket": "a-new-bucket"}))
    store.put("a", b"1")
    assert store.get("a").body == b"1"


@pytest.mark.store
def test_a_bucket_that_went_away_is_said_to_be_missing(s3_settings: StoreSettings) -> None:
    store = S3Store(s3_settings.model_copy(update={"bucket": "never-made"}))
    with pytest.raises(StoreError, match="never-made"):
        store.get("a")


@pytest.mark.store
def test_the_probe_leaves_nothing_behind(s3_settings: StoreSettings) -> None:
    assert list(connect_store(s3_settings).list("")) == []


@pytest.mark.store
def test_a_process_connects_once(s3_settings: StoreSettings) -> None:
    assert connect_store(s3_settings) is connect_store(s3_settings)


@pytest.mark.store
@pytest.mark.parametrize("hours", [-5, 30])
def test_a_machine_whose_clock_is_hours_off_signs_by_the_clock_of_the_store(
    wrong_clock: Callable[[float], dict[str, str]], s3_settings: StoreSettings, s3_store: S3Store, hours: float
) -> None:
    program = (
        "from textinv.settings import load_settings; from textinv.store import S3Store\n"
        "store = S3Store(load_settings().settings.store); store.put('from', b'afar'); print(store.get('from').body)\n"
        "import urllib.request; print(urllib.request.urlopen(store.presign('from', 60)).read())"
    )
    environment = os.environ | environment_of(Settings(store=s3_settings)) | wrong_clock(hours)
    said = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["b'afar'", "b'afar'"]
    assert s3_store.get("from").body == b"afar"
