"""What operators read: each line of ours is one JSON object, and a request's has what is known of it."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.access.keys import KeyRing
from services.config import ServiceConfig
from services.desk import Desk
from services.log_lines import JsonLines
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import client_of, publish
from textinv.store.memory import MemoryStore

URL = "/v1/images/generations"
PROGRAM = """
import logging
from services.log_lines import write_log_lines

for _ in range(2):
    write_log_lines()
logging.getLogger("services.requests").info("a %s", "request")
logging.getLogger("textinv.generation.measuring").info("two\\nlines")
logging.getLogger("elsewhere").info("nothing of ours")
try:
    raise ValueError("no")
except ValueError:
    logging.getLogger("services.desk").exception("it failed")
"""


def test_each_line_of_ours_is_written_once_as_json_and_those_of_libraries_are_not() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("INFO", "services.requests", "a request"),
        ("INFO", "textinv.generation.measuring", "two\nlines"),
        ("ERROR", "services.desk", "it failed"),
    ]
    assert "ValueError: no" in lines[2]["exception"]
    assert all(datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0) for line in lines)


@pytest.fixture
def written() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What a replica would have written until it is asked for."""
    stream, logger = io.StringIO(), logging.getLogger("services")
    handler, level = logging.StreamHandler(stream), logger.level
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel("INFO")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.anyio
class TestOfRequests:
    @pytest.fixture
    def config(self) -> ServiceConfig:
        return ServiceConfig(base_model="colours", keys=True, max_body_bytes=2048)

    async def test_a_line_says_who_asked_for_what_and_what_became_of_it(
        self, desk: Desk, store: MemoryStore, written: Callable[[], list[dict[str, Any]]]
    ) -> None:
        publish(store, "dotty-fox")
        text, key = KeyRing(store).create("page", "generate")
        headers = {"authorization": f"Bearer {text}", "x-request-id": "r-1"}
        async with client_of(desk) as client:
            await client.post(URL, json={"prompt": "a private <dotty-fox>"}, headers=headers)
        (line,) = written()
        assert line.pop("ms") >= 0
        assert datetime.fromisoformat(line.pop("time"))
        assert line == {
            "level": "INFO",
            "logger": "services.requests",
            "request_id": "r-1",
            "method": "POST",
            "path": URL,
            "status": 200,
            "caller": f"key:{key.id}",
            "concepts": ["dotty-fox@1"],
        }
        assert text not in json.dumps(written())

    @pytest.mark.parametrize(
        ("sent", "headers", "status", "code"),
        [
            ({"prompt": "a <dotty-fix>"}, {}, 400, "unknown_concept"),
            ({"prompt": "a", "n": 0}, {}, 400, "invalid_request"),
            ({"prompt": "a"}, {"authorization": "Bearer nobody"}, 401, "access_denied"),
            ({"prompt": "a" * 4096}, {}, 413, "body_too_large"),
        ],
        ids=["unknown", "invalid", "stranger", "large"],
    )
    async def test_a_refusal_has_its_code(
        self,
        desk: Desk,
        store: MemoryStore,
        written: Callable[[], list[dict[str, Any]]],
        sent: dict[str, object],
        headers: dict[str, str],
        status: int,
        code: str,
    ) -> None:
        text, _ = KeyRing(store).create("page", "generate")
        async with client_of(desk) as client:
            await client.post(URL, json=sent, headers={"authorization": f"Bearer {text}"} | headers)
        line = written()[-1]
        assert (line["status"], line["error"]) == (status, code)
        assert "prompt" not in line

    async def test_a_failure_is_told_with_the_id_of_its_request(
        self, desk: Desk, studio: ColourStudio, store: MemoryStore, written: Callable[[], list[dict[str, Any]]]
    ) -> None:
        text, _ = KeyRing(store).create("page", "generate")
        studio.fails_at_step = 1
        headers = {"authorization": f"Bearer {text}", "x-request-id": "r-2"}
        async with client_of(desk) as client:
            await client.post(URL, json={"prompt": "a"}, headers=headers)
            await client.post(URL, json={"prompt": "a", "stream": True}, headers=headers)
        why, *answered = written()
        assert (why["level"], why["logger"], why["request_id"]) == ("WARNING", "services.api.errors", "r-2")
        assert [line["status"] for line in answered] == [503, 200]
        assert {line["error"] for line in answered} == {"service_failed"}


@pytest.mark.anyio
async def test_prompts_stand_in_the_line_of_their_request_when_the_operator_asks_for_them(
    studio: ColourStudio, store: MemoryStore, written: Callable[[], list[dict[str, Any]]]
) -> None:
    config = ServiceConfig(base_model="colours", keys=False, log_prompts=True)
    sent = {"prompt": 'a "public"\nhill', "negative_prompt": "rain"}
    async with client_of(Desk(config, studio, store)) as client:
        await client.post(URL, json=sent)
        await client.get("/healthz")
    drawn, health = written()
    assert (drawn["prompt"], drawn["negative_prompt"]) == ('a "public"\nhill', "rain")
    assert drawn["caller"] == "address:127.0.0.1"
    assert health["path"] == "/healthz"
    assert not {"prompt", "caller", "error"} & set(health)
