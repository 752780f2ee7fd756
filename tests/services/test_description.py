"""The OpenAPI page: operations have examples, and they are what the service really takes and answers."""

import re
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from services.api.app import make_app
from services.api.examples import EXAMPLES
from services.desk import Desk
from tests.services.conftest import publish, publish_guess_for
from tests.services.pictures import base64_of, png
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
# What a route takes from its path and what in an example stands for a real picture.
# Other routes state their examples themselves, beside the route.
DRAWING = ("/sdapi/", "/v1/models", "/v1/concepts")
PATHS = {"{model}": "colours", "{name}": "dotty-fox", "{version}": "1"}


def operations(desk: Desk) -> dict[str, dict[str, Any]]:
    paths = make_app(desk).openapi()["paths"]
    return {f"{method.upper()} {path}": found for path, methods in paths.items() for method, found in methods.items()}


async def test_every_json_body_and_answer_has_an_example_and_errors_are_described_as_they_are(desk: Desk) -> None:
    found = operations(desk)
    for name in [name for name in found if name in EXAMPLES or name.partition(" ")[2].startswith(DRAWING)]:
        operation = found[name]
        bodies = operation.get("requestBody", {}).get("content", {})
        optional = not operation.get("requestBody", {}).get("required", False)
        if "application/json" in bodies and not optional:
            schema = bodies["application/json"].get("schema", {})
            assert "example" in bodies["application/json"] or "examples" in schema, name
        answer = operation["responses"]["200"].get("content", {}).get("application/json")
        assert answer is None or "example" in answer or "examples" in answer, name
        assert "422" not in operation["responses"]
        assert operation["responses"]["4XX"]["content"]["application/json"]["schema"]["$ref"].endswith("/Error")


async def test_every_example_belongs_to_an_operation(desk: Desk) -> None:
    assert set(EXAMPLES) <= set(operations(desk))


def same_fields(example: Any, real: Any, where: str) -> None:
    """Compare the fields of two documents, inside lists those of the first items."""
    if isinstance(example, Mapping) and where.rpartition(".")[2] not in ("concepts", "record", "parameters", "widths"):
        assert set(example) == set(real), where
        for key in example:
            same_fields(example[key], real[key], f"{where}.{key}")
    elif isinstance(example, list) and example:
        assert real, where
        same_fields(example[0], real[0], where)


def real_request(example: Any) -> Any:
    """The example with a real picture where it has the beginning of one."""
    if isinstance(example, str):
        return example.replace("iVBORw0KGgoAAAANSUhEUg...", base64_of(png()))
    if isinstance(example, list):
        return [real_request(one) for one in example]
    return {key: real_request(one) for key, one in example.items()} if isinstance(example, Mapping) else example


@pytest.mark.parametrize("operation", [name for name in EXAMPLES if not name.endswith(("/progress", "/png-info"))])
async def test_an_example_is_what_the_service_takes_and_answers(
    client: httpx.AsyncClient, store: MemoryStore, operation: str
) -> None:
    publish(store, "dotty-fox", files={"preview.png": png()})
    publish_guess_for(store)
    if "versions" in operation:
        publish(store, "dotty-fox", 2.0)
    method, _, path = operation.partition(" ")
    for name, value in PATHS.items():
        path = path.replace(name, value)
    body = real_request(EXAMPLES[operation].request)
    reply = await client.request(method, path, json=body) if body is not None else await client.request(method, path)
    assert reply.status_code == 200, reply.text
    same_fields(EXAMPLES[operation].answer, reply.json(), operation)


async def test_the_examples_of_progress_and_of_a_pictures_info_have_the_real_fields(client: httpx.AsyncClient) -> None:
    real = (await client.get("/sdapi/v1/progress")).json()
    same_fields(EXAMPLES["GET /sdapi/v1/progress"].answer, real, "progress")
    of_task = EXAMPLES["POST /internal/progress"]
    real = (await client.post("/internal/progress", json=of_task.request)).json()
    same_fields(of_task.answer, real, "task")
    drawn = (await client.post("/sdapi/v1/txt2img", json={"prompt": "a hill"})).json()
    info = (await client.post("/sdapi/v1/png-info", json={"image": drawn["images"][0]})).json()
    same_fields(EXAMPLES["POST /sdapi/v1/png-info"].answer, info, "png-info")


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
async def test_the_pages_that_show_it_load_nothing_from_elsewhere(client: httpx.AsyncClient, page: str) -> None:
    text = (await client.get(page)).text
    named = re.findall(r"""(?:src|href|spec-url)=["']([^"']+)""", text) + re.findall(r"url: '([^']+)'", text)
    assert any(one.endswith(".js") for one in named)
    assert "/openapi.json" in named
    assert "://" not in "".join(named)
    for one in named:
        assert (await client.get(one)).status_code == 200, one
    scripts = [(await client.get(one)).content for one in named if one.endswith(".js")]
    assert all(len(script) > 100_000 for script in scripts)
