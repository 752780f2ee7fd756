"""Headers as a real server sends them and a real client reads them."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import uvicorn

from services.api.app import make_app
from services.desk import Desk

Protocol = Literal["h11", "httptools"]


@pytest.fixture(params=["h11", "httptools"])
def port(request: pytest.FixtureRequest, desk: Desk) -> Iterator[int]:
    """The service behind a server of its own; where it listens."""
    protocol: Protocol = request.param
    server = uvicorn.Server(
        uvicorn.Config(make_app(desk), host="127.0.0.1", port=0, log_level="critical", http=protocol)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(10)


def posted(port: int, path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of an answer, read by a client that takes 65,536 bytes a line."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


def test_whatever_a_caller_names_its_fields_the_answer_arrives(port: int) -> None:
    hostile = {"ä\r\nx-evil: 1": 1, "\x00\x1b": 1, "tab\t": 1, " ": 1}
    many = {f"a field with a long name, number {number}": 1 for number in range(5000)}
    for names in (hostile, many):
        status, headers, content = posted(port, "/sdapi/v1/txt2img", {"prompt": "a", "steps": 1, **names})
        assert (status, len(json.loads(content)["images"])) == (200, 1)
        assert 0 < len(headers["x-textinv-ignored"]) <= 2000
        assert "x-evil" not in headers
        status, headers, _ = posted(port, "/sdapi/v1/options", names)
        assert status == 200
        assert 0 < len(headers["x-textinv-ignored"]) <= 2000
        assert "x-evil" not in headers
