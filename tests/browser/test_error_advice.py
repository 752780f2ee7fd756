"""When something is wrong, the page says what to do."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from services.access.keys import KeyRing
from services.page.routes import FILES
from tests.browser.conftest import OpenPage, shot
from tests.browser.in_process import publish, running, submit
from tests.services.job_tools import IdleFleet
from textinv.embedding import Embedding
from textinv.errors import InputError, StoreUnreachableError, TextinvError, TrainingError
from textinv.jobs.fleet_driver import DriverFacts
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store.memory import MemoryStore
from textinv.store.protocol import StoredObject

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


class UnsteadyStore(MemoryStore):
    """A store that can be unplugged."""

    plugged_in = True

    def get(self, key: str) -> StoredObject:
        if not self.plugged_in:
            raise StoreUnreachableError("the store at http://127.0.0.1:9000 does not answer")
        return super().get(key)


class BrokenFleet(IdleFleet):
    """A fleet whose driver does not start."""

    def driver(self) -> DriverFacts:
        return DriverFacts("stopped", "the driver ended at once: no space left on device")


@pytest.fixture
def unsteady() -> UnsteadyStore:
    return UnsteadyStore()


@pytest.fixture
def busy_service(unsteady: UnsteadyStore, model: BaseModel) -> Iterator[str]:
    """A service that draws one picture at a time and lets one more wait; its store can be unplugged."""
    publish(unsteady, model, "my-fox", "fox", "object")
    with running(unsteady, model, BrokenFleet(), max_batch=1, max_waiting=1) as url:
        yield url


def test_there_is_advice_for_every_error_that_is_not_the_callers_own() -> None:
    def below(kind: type[TextinvError]) -> set[str]:
        return {kind.code}.union(*(below(one) for one in kind.__subclasses__()))

    elsewhere = below(InputError) | below(TrainingError) | {"error"}  # their messages say what to change
    table = FILES["api.js"].read_text().split("const ADVICE = {")[1].split("};")[0]
    advised = {line.split(":")[0].strip() for line in table.splitlines() if ":" in line}
    assert below(TextinvError) - elsewhere <= advised


def test_a_store_that_is_down(busy_service: str, unsteady: UnsteadyStore, open_page: OpenPage) -> None:
    unsteady.plugged_in = False
    page = open_page(f"{busy_service}/#/concepts/my-fox")
    expect(page.get_by_role("alert")).to_contain_text("The store is down. Start it with `textinv store up`")
    shot(page, "error-store-1400")
    unsteady.plugged_in = True
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name="<my-fox>")).to_be_visible()


def test_a_queue_that_is_full(busy_service: str, open_page: OpenPage) -> None:
    page = open_page(f"{busy_service}/#/try")
    page.get_by_text("Compare", exact=True).click()
    page.get_by_label("Concepts, one per line").fill("my-fox")
    page.get_by_label("Prompts, one per line").fill("a {}\nred {}\nblue {}\ngreen {}")
    page.get_by_role("button", name="Draw the grid").click()
    expect(page.get_by_role("alert").first).to_contain_text("The queue is full. Wait a little", timeout=60_000)


def test_a_concept_of_another_base_model(
    busy_service: str, unsteady: UnsteadyStore, model: BaseModel, open_page: OpenPage
) -> None:
    row = {name: model.token_rows(name, "fox").float().cpu()[:1] for name in model.encoder_names}
    Registry(unsteady).publish(
        "their-fox", Embedding(row), {}, fingerprint="theirs", base_model="sd15", base_revision="other"
    )
    page = open_page(f"{busy_service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <their-fox>")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("is for another base model, sd15")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("It was learned on another base model")


def test_nobody_there_to_learn(busy_service: str, unsteady: UnsteadyStore, open_page: OpenPage) -> None:
    job = submit(busy_service, unsteady, "late-fox", job="late")
    page = open_page(f"{busy_service}/#/jobs/{job.id}")
    expect(page.get_by_role("alert")).to_contain_text("no space left on device")
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("alert")).to_contain_text("textinv job logs --driver")


def test_a_service_that_is_gone(busy_service: str, open_page: OpenPage) -> None:
    page = open_page(f"{busy_service}/#/try")
    page.context.set_offline(True)
    page.get_by_role("link", name="Jobs", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("`textinv up` starts it")


def test_a_key_is_asked_for_and_stays_in_the_tab(model: BaseModel, open_page: OpenPage) -> None:
    store = MemoryStore()
    publish(store, model, "my-fox", "fox", "object")
    text, _ = KeyRing(store).create("tests", "submit")
    with running(store, model, keys=True) as url:
        page = open_page(f"{url}/#/concepts")
        addresses: list[str] = []
        page.on("request", lambda request: addresses.append(request.url))
        expect(page.get_by_role("dialog", name="API key")).to_be_visible()
        shot(page, "key-1400")
        page.get_by_label("Key", exact=True).fill(text)
        page.keyboard.press("Enter")
        page.get_by_role("link", name="my-fox").click()
        expect(page.get_by_role("heading", name="<my-fox>")).to_be_visible()
        page.get_by_role("link", name="Fleet").click()
        expect(page.get_by_role("alert")).to_contain_text("Your key's role does not allow this")
        assert not [one for one in [*addresses, page.url] if text in one]
        assert page.evaluate("localStorage.length") == 0
        assert page.context.cookies() == []
        assert text in page.evaluate("JSON.stringify(Object.entries(sessionStorage))")
