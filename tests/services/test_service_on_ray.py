"""The service as a person starts it: `textinv serve up`, a real Ray Serve, the real store, the demo base, real HTTP."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from services.local.state import ServiceFolder
from tests.guess.small_guess import small_guess
from tests.services.job_tools import photo
from tests.services.on_serve import wait_for
from tests.services.served import served
from textinv.embedding import Embedding
from textinv.models import base_revision, load_base_model
from textinv.registry import Registry
from textinv.registry.guesses import publish_guess
from textinv.settings import Settings, StoreSettings
from textinv.store import EmbeddedServer, connect_store

pytestmark = [pytest.mark.ray, pytest.mark.store]


CONFIG = """
cors_origins: ["https://page.example"]
log_prompts: true
max_batch: 2
max_num_images: 3
safety_checker: false
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def service(s3_server: EmbeddedServer, home: Path) -> Iterator[str]:
    """URL of a running service whose store has the concept `my-frog`, with a config file."""
    store = s3_server.up().model_copy(update={"prefix": "served"})
    publish_a_frog(store)
    config = home / "config.yaml"
    config.write_text(CONFIG)
    with served(Settings(home=home, store=store), None, "--config", str(config), "--resize") as url:
        yield url


def publish_a_frog(settings: StoreSettings) -> None:
    """Publish the demo base's own row of the word frog as a concept."""
    store = connect_store(settings)
    row = load_base_model("emoji", device="cpu").token_rows("text_encoder", "frog")
    Registry(store).publish(
        "my-frog",
        Embedding({"text_encoder": row}),
        {"stopped": "converged"},
        fingerprint="f" * 64,
        base_model="emoji",
        base_revision=base_revision("emoji"),
    )


def _pixels(answer: dict[str, list[dict[str, str]]]) -> np.ndarray:
    picture = Image.open(io.BytesIO(base64.b64decode(answer["data"][0]["b64_json"])))
    return np.asarray(picture.convert("RGB"), np.int16)


def test_a_stored_concept_is_drawn_as_the_same_word_of_the_base_is(service: str) -> None:
    fields = {"seed": 5, "num_inference_steps": 4}
    url = f"{service}/v1/images/generations"
    drawn = httpx.post(url, json={"prompt": "a <my-frog>", **fields}, timeout=120)
    plain = httpx.post(url, json={"prompt": "a frog", **fields}, timeout=120)
    assert drawn.status_code == plain.status_code == 200
    assert np.abs(_pixels(drawn.json()) - _pixels(plain.json())).max() <= 1
    assert "my-frog@1" in drawn.headers["x-textinv-concepts"]
    assert "5" in json.dumps(drawn.json()["data"][0]["seed"])


def test_an_unknown_concept_is_a_400_that_names_it(service: str) -> None:
    client = openai.OpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0)
    with pytest.raises(openai.BadRequestError, match="my-forg"):
        client.images.generate(prompt="a <my-forg>", model="emoji")


def test_the_openai_client_draws_and_lists(service: str) -> None:
    client = openai.OpenAI(base_url=f"{service}/v1", api_key="none", max_retries=0)
    extra = {"seed": 3, "num_inference_steps": 2}
    answer = client.images.generate(prompt="a <my-frog@1>", model="emoji", n=2, extra_body=extra)
    assert answer.data is not None
    assert len(answer.data) == 2
    assert [model.id for model in client.models.list().data] == ["emoji"]


def test_health_and_concepts_are_told(service: str) -> None:
    assert httpx.get(f"{service}/healthz").status_code == 200
    assert httpx.get(f"{service}/readyz").status_code == 200
    assert "my-frog" in json.dumps(httpx.get(f"{service}/v1/concepts").json())


def test_a_guess_is_made_and_drawn_by_a_replica(service: str, s3_server: EmbeddedServer) -> None:
    model = load_base_model("emoji", device="cpu")
    publish_guess(connect_store(s3_server.up().model_copy(update={"prefix": "served"})), small_guess(model))
    files = [("image", (f"{seed}.png", photo(seed))) for seed in (1, 2)]
    told = httpx.post(f"{service}/v1/concepts/guess", files=files, data={"name": "my-crab"}, timeout=120)
    assert told.status_code == 200, told.text
    fields = {"prompt": told.json()["prompt"], "seed": 5, "num_inference_steps": 4}
    first, again = (httpx.post(f"{service}/v1/images/generations", json=fields, timeout=120) for _ in range(2))
    assert first.json()["concepts"] == {"my-crab@guess": told.json()["digest"]}
    assert np.abs(_pixels(first.json()) - _pixels(again.json())).max() <= 1


def test_what_the_config_file_says_holds_and_flags_beside_it(service: str) -> None:
    sent = {"prompt": "a frog", "num_inference_steps": 1, "size": "60x50"}
    url, page = f"{service}/v1/images/generations", {"origin": "https://page.example"}
    drawn = httpx.post(url, json=sent, headers=page, timeout=120)
    assert drawn.status_code == 200, drawn.text
    assert drawn.headers["access-control-allow-origin"] == "https://page.example"
    assert httpx.post(url, json=sent | {"n": 4}, timeout=120).json()["error"]["param"] == "n"


def test_each_line_of_the_log_that_is_ours_is_json(service: str, home: Path) -> None:
    headers = {"x-request-id": "of-the-log-test"}
    sent = {"prompt": "a <my-frog>", "num_inference_steps": 1}
    assert httpx.post(f"{service}/v1/images/generations", json=sent, headers=headers, timeout=120).status_code == 200
    state = ServiceFolder(home).load()
    assert state is not None
    logs = Path(str(state.ray_folder))

    def lines() -> list[str]:
        return [line for path in logs.glob("**/worker-*.err") for line in path.read_text().splitlines()]

    wait_for(lambda: any("of-the-log-test" in line for line in lines()))
    ours = [json.loads(line) for line in lines() if "services." in line or "textinv." in line]
    (found,) = [line for line in ours if line.get("request_id") == "of-the-log-test"]
    assert (found["level"], found["status"], found["prompt"]) == ("INFO", 200, "a <my-frog>")
    assert found["concepts"] == ["my-frog@1"]
    assert {"time", "ms", "caller", "method", "path"} <= set(found)
