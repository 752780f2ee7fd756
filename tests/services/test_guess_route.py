"""`POST /v1/concepts/guess`: a concept guessed from pictures is drawn under a name of its caller's, for an hour."""

import asyncio
from typing import Any

import httpx
import pytest

from services.access.keys import KeyRing
from services.api.concepts.guess import JsonGuessBody
from services.config import ServiceConfig
from services.desk import Desk
from services.drawing.held_guesses import HELD_S, HeldGuesses
from services.shared import Shared
from tests.services.colour_studio import ColourStudio
from tests.services.conftest import asking, client_of, publish, publish_guess_for
from tests.services.job_tools import IdleFleet, photo, upload
from tests.services.pictures import base64_of, decompression_bomb, png
from textinv.guess.guess import MOST_PICTURES
from textinv.registry.guesses import LearnedFrom
from textinv.registry.shares import OPTED_OUT, Share, withdraw
from textinv.store.memory import MemoryStore

pytestmark = pytest.mark.anyio
GUESS, DRAW = "/v1/concepts/guess", "/v1/images/generations"
CRAB = "a <my-crab@guess> on a hill"
ME = "address:127.0.0.1"


@pytest.fixture
def guess_digest(store: MemoryStore) -> str:
    return publish_guess_for(store)


@pytest.fixture
def desk(config: ServiceConfig, studio: ColourStudio, store: MemoryStore, guess_digest: str) -> Desk:
    return Desk(config, studio, store, IdleFleet())


def sent(*seeds: int, **fields: Any) -> dict[str, Any]:
    """A JSON body with these pictures."""
    return {"name": "my-crab", "images": [base64_of(photo(seed)) for seed in seeds], **fields}


async def drawn(client: httpx.AsyncClient, prompt: str = CRAB, **fields: Any) -> dict[str, Any]:
    reply = await client.post(DRAW, json={"prompt": prompt, "seed": 7, **fields})
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def test_pictures_become_a_concept_that_prompts_can_name(
    client: httpx.AsyncClient, store: MemoryStore, guess_digest: str
) -> None:
    before = [info.key for info in store.list("")]
    reply = await client.post(GUESS, json=sent(1, 2))
    assert reply.status_code == 200, reply.text
    told = reply.json()
    assert (told["placeholder"], told["prompt"]) == ("<my-crab@guess>", "a photo of a <my-crab@guess>")
    assert (told["guess"], told["base_revision"], told["num_vectors"]) == (guess_digest, "c0ffee", 4)
    assert told["expires_in_s"] == HELD_S
    answer = await drawn(client)
    assert answer["concepts"] == {"my-crab@guess": told["digest"]}
    assert (await drawn(client))["data"] == answer["data"]
    assert (await client.get("/v1/concepts")).json()["data"] == []
    assert [info.key for info in store.list("")] == before


async def test_a_form_base64_a_data_url_and_uploads_say_the_same(
    client: httpx.AsyncClient, studio: ColourStudio
) -> None:
    pictures = [photo(1), photo(2)]
    data_urls = [f"data:image/png;base64,{base64_of(one)}" for one in pictures]
    bodies = [sent(1, 2), sent() | {"images": data_urls}, sent() | {"images": await upload(client, 1, 2)}]
    digests = {(await client.post(GUESS, json=body)).json()["digest"] for body in bodies}
    files = [("image", (f"{place}.png", one)) for place, one in enumerate(pictures)]
    form = await client.post(GUESS, files=files, data={"name": "my-crab", "num_vectors": "4", "kind": "object"})
    assert form.status_code == 200, form.text
    assert digests == {form.json()["digest"]}
    assert {one[1] for one in studio.guessed} == {tuple(pictures)}


async def test_all_that_is_asked_for_reaches_the_studio_and_prompts_of_styles_are_of_styles(
    client: httpx.AsyncClient, studio: ColourStudio, guess_digest: str
) -> None:
    told = (await client.post(GUESS, json=sent(1, kind="style", num_vectors=2, class_word="painting"))).json()
    assert studio.guessed == [(guess_digest, (photo(1),), "style", 2)]
    assert told["prompt"] == "a painting in the style of <my-crab@guess>"
    assert (told["kind"], told["num_vectors"], told["class_word"]) == ("style", 2, "painting")


async def test_without_a_name_one_is_made_up_and_each_is_another(client: httpx.AsyncClient) -> None:
    names = [(await client.post(GUESS, json={"images": [base64_of(photo(1))]})).json()["name"] for _ in range(2)]
    assert len(set(names)) == 2
    await drawn(client, f"<{names[0]}@guess> and <{names[1]}@guess>")


async def test_a_guess_and_a_learned_concept_of_one_name_are_two(client: httpx.AsyncClient, store: MemoryStore) -> None:
    publish(store, "my-crab")
    await client.post(GUESS, json=sent(1))
    answer = await drawn(client, "<my-crab> and <my-crab@guess>")
    assert list(answer["concepts"]) == ["my-crab@1", "my-crab@guess"]


async def test_a_new_guess_of_the_same_name_replaces_the_old_one(client: httpx.AsyncClient) -> None:
    first = (await client.post(GUESS, json=sent(1))).json()["digest"]
    second = (await client.post(GUESS, json=sent(2))).json()["digest"]
    assert first != second
    assert (await drawn(client))["concepts"] == {"my-crab@guess": second}


async def test_other_spellings_of_requests_take_guesses_too(client: httpx.AsyncClient) -> None:
    await client.post(GUESS, json=sent(1))
    for prompt, listed in (
        ("a my-crab", ["my-crab@guess"]),
        ("a <My-Crab@Guess>", []),
        ("embedding:my-crab@guess", []),
    ):
        assert list((await drawn(client, prompt, concepts=listed))["concepts"]) == ["my-crab@guess"]
    reply = await client.post("/sdapi/v1/txt2img", json={"prompt": CRAB, "steps": 2, "seed": 7})
    assert "my-crab@guess" in reply.headers["x-textinv-concepts"]


async def test_a_prompt_box_is_told_which_guesses_are_held(client: httpx.AsyncClient) -> None:
    await client.post(GUESS, json=sent(1))
    told = (await client.post("/v1/prompts", json={"prompt": f"{CRAB} <no-crab@guess>"})).json()["concepts"]
    assert (told[0]["version"], told[0]["vectors"], told[0]["resolved"]) == ("guess", 4, True)
    assert told[1]["resolved"] is False
    assert "POST /v1/concepts/guess" in told[1]["problem"]


async def test_a_guess_that_nobody_made_or_that_has_expired_is_a_400_that_says_so(
    client: httpx.AsyncClient, desk: Desk
) -> None:
    now = [0.0]
    desk.guesses = HeldGuesses(clock=lambda: now[0])
    await client.post(GUESS, json=sent(1))
    await drawn(client)
    now[0] = (await desk.guesses.held(ME, ["my-crab"]))["my-crab"].expires_s
    for prompt, name in ((CRAB, "<my-crab@guess>"), ("a <no-crab@guess>", "<no-crab@guess>")):
        reply = await client.post(DRAW, json={"prompt": prompt})
        error = reply.json()["error"]
        assert (reply.status_code, error["code"], error["param"]) == (400, "unknown_concept", "prompt")
        assert f"you hold no guess {name}: one is held for an hour" in error["message"]


async def test_another_caller_neither_sees_nor_replaces_a_guess(client: httpx.AsyncClient, desk: Desk) -> None:
    mine = (await client.post(GUESS, json=sent(1))).json()["digest"]
    async with client_of(desk, "10.0.0.2") as other:
        assert (await other.post(DRAW, json={"prompt": CRAB})).status_code == 400
        await other.post(GUESS, json=sent(2))
    assert (await drawn(client, user="a person"))["concepts"] == {"my-crab@guess": mine}


async def test_the_oldest_guesses_of_a_caller_go_first(client: httpx.AsyncClient, desk: Desk) -> None:
    names = [f"crab-{number}" for number in range(65)]
    for name in names:
        await client.post(GUESS, json=sent(1) | {"name": name})
    assert list(await desk.guesses.held(ME, names)) == names[1:]


async def test_where_the_base_model_has_no_guess_it_is_said_how_to_get_one(
    config: ServiceConfig, studio: ColourStudio
) -> None:
    store = MemoryStore()
    publish_guess_for(store, "another-revision")
    async with client_of(Desk(config, studio, store, IdleFleet())) as client:
        reply = await client.post(GUESS, json=sent(1))
        assert reply.status_code == 400
        assert "there is no guess for colours: train one with `textinv guess train`" in reply.json()["error"]["message"]
        assert (await client.get("/v1/models")).json()["data"][0]["guess"] is None
    assert studio.guessed == []


async def test_the_base_model_says_which_guess_it_has(client: httpx.AsyncClient, guess_digest: str) -> None:
    assert (await client.get("/v1/models")).json()["data"][0]["guess"] == guess_digest


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"images": []}, "images"),
        ({"images": ["AAAA"] * (MOST_PICTURES + 1)}, "images"),
        ({"images": ["no base64!"]}, "images.0"),
        ({"images": [base64_of(photo(1)), base64_of(b"no picture")]}, "images.1"),
        ({"images": [base64_of(decompression_bomb())]}, "images.0"),
        ({"images": [base64_of(png(mode="RGBA", colour=(0, 0, 0, 0)))]}, "images.0"),
        ({"images": [f"sha256:{'0' * 64}"]}, "images.0"),
        ({"images": ["sha256:abc"]}, "images.0"),
        ({"images": ["https://elsewhere.example/crab.png"]}, "images.0"),
        ({"images": [""]}, "images.0"),
        ({"name": "My Crab"}, "name"),
        ({"kind": "mood"}, "kind"),
        ({"num_vectors": 33}, "num_vectors"),
        ({"num_vectors": 0}, "num_vectors"),
        ({"captions": ["a crab"]}, "captions"),
    ],
)
async def test_what_cannot_be_used_is_a_400_that_names_it(
    client: httpx.AsyncClient, studio: ColourStudio, change: dict[str, Any], param: str
) -> None:
    reply = await client.post(GUESS, json=sent(1) | change)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)
    assert studio.guessed == []


async def test_forms_are_bounded_as_json_is(client: httpx.AsyncClient) -> None:
    many = [("image", (f"{place}.png", photo(1))) for place in range(MOST_PICTURES + 1)]
    for files, data, param in (
        (many, {}, "image"),
        (many[:1], {"kind": "mood"}, "kind"),
        (many[:1], {"image": "text"}, "image"),
        ([("picture", ("a.png", photo(1)))], {}, "picture"),
    ):
        reply = await client.post(GUESS, files=files, data=data)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


def test_as_many_pictures_are_taken_as_a_guess_looks_at() -> None:
    assert JsonGuessBody.model_json_schema()["properties"]["images"]["maxItems"] == MOST_PICTURES


class TestWithKeys:
    @pytest.fixture
    def config(self) -> ServiceConfig:
        return ServiceConfig(base_model="colours", keys=True)

    @staticmethod
    def client_with(desk: Desk, store: MemoryStore, *key: Any, **bounds: Any) -> httpx.AsyncClient:
        text, _ = KeyRing(store).create("me", *key, **bounds)
        client = client_of(desk)
        client.headers["authorization"] = f"Bearer {text}"
        return client

    async def test_only_keys_that_may_teach_may_guess(self, desk: Desk, store: MemoryStore) -> None:
        async with self.client_with(desk, store, "generate") as client:
            assert (await client.post(GUESS, json=sent(1))).status_code == 403

    async def test_a_key_that_is_bound_to_names_guesses_and_makes_up_such_names_only(
        self, desk: Desk, store: MemoryStore
    ) -> None:
        async with self.client_with(desk, store, "submit", name_prefix="acme-") as client:
            assert (await client.post(GUESS, json=sent(1))).status_code == 403
            told = (await client.post(GUESS, json={"images": sent(1)["images"]})).json()
            assert told["name"].startswith("acme-guess-")
            await drawn(client, told["prompt"])

    async def test_a_guess_is_its_keys_alone(self, desk: Desk, store: MemoryStore) -> None:
        async with self.client_with(desk, store, "submit") as mine, self.client_with(desk, store, "admin") as other:
            await mine.post(GUESS, json=sent(1))
            await drawn(mine)
            assert (await other.post(DRAW, json={"prompt": CRAB})).status_code == 400

    async def test_guesses_count_among_a_keys_requests(self, desk: Desk, store: MemoryStore) -> None:
        async with self.client_with(desk, store, "submit", per_minute=1) as client:
            assert (await client.post(GUESS, json=sent(1))).status_code == 200
            assert (await client.post(GUESS, json=sent(1))).status_code == 429


async def test_a_guess_of_one_front_is_drawn_by_all(
    config: ServiceConfig, studio: ColourStudio, store: MemoryStore, guess_digest: str
) -> None:
    shared = asking(Shared())
    here, there = (client_of(Desk(config, studio, store, IdleFleet(), shared=shared)) for _ in range(2))
    async with here, there:
        told = (await here.post(GUESS, json=sent(1))).json()
        answers = await asyncio.gather(drawn(here), drawn(there))
        assert [one["concepts"] for one in answers] == [{"my-crab@guess": told["digest"]}] * 2
        assert answers[0]["data"] == answers[1]["data"]


async def test_a_guess_that_learned_from_what_was_withdrawn_since_is_not_used(
    config: ServiceConfig, studio: ColourStudio
) -> None:
    store = MemoryStore()
    given = Share(
        concept="fox", kind="object", tenant="acme", base_model="colours", base_revision="c0ffee", pictures=()
    )
    publish_guess_for(store, shares=[LearnedFrom(share=given.id, tenant="acme", pictures=())])
    async with client_of(Desk(config, studio, store, IdleFleet())) as client:
        assert (await client.post(GUESS, json=sent(1))).status_code == 200
        withdraw(store, [given], OPTED_OUT)
        reply = await client.post(GUESS, json=sent(1))
        assert reply.status_code == 400
        assert "is stale, as 1 of the 1 concepts" in reply.json()["error"]["message"]
