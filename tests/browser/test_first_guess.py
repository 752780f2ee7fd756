"""The first guess: drawn while somebody still types the name, and what was learned takes its place."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, ready_to_teach, shot
from tests.browser.in_process import publish, running
from tests.browser.real_service import DRAWN_MS, pictures_of
from tests.guess.small_guess import small_guess
from tests.services.job_tools import report
from textinv.jobs import JobStore
from textinv.models.base import BaseModel
from textinv.models.load import GUESS_FILE
from textinv.registry.guesses import publish_guess, remove_guess
from textinv.settings import OWN_BASE_MODELS
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PICTURES = pictures_of("umbrella")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The demo base without the guess that it may be shipped with."""
    folder = tmp_path / "base"
    folder.mkdir()
    for part in Path(OWN_BASE_MODELS["emoji"]).iterdir():
        if part.name != GUESS_FILE:
            (folder / part.name).symlink_to(part)
    return folder


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def service(store: MemoryStore, model: BaseModel, base: Path) -> Iterator[str]:
    with running(store, model, base_model=str(base)) as url:
        yield url


@pytest.fixture
def guess(store: MemoryStore, model: BaseModel) -> str:
    """A guess is published; its digest."""
    file = small_guess(model)
    publish_guess(store, file)
    return file.digest


def panel(page: Page) -> Locator:
    return page.get_by_role("region", name="First guess")


def choose(page: Page) -> None:
    ready_to_teach(page).get_by_label("Pictures", exact=True).set_input_files(PICTURES)


@pytest.mark.usefixtures("guess")
def test_it_is_drawn_while_the_name_is_typed_and_what_is_learned_takes_its_place(
    service: str, store: MemoryStore, model: BaseModel, open_page: OpenPage
) -> None:
    page = open_page(f"{service}/#/teach")
    choose(page)
    name = page.get_by_label("Name", exact=True)
    name.press_sequentially("my-umb")
    drawn = panel(page).get_by_role("img", name=re.compile("^First guess: a photo of a <my-umb>$"))
    expect(drawn).to_be_visible(timeout=DRAWN_MS)
    expect(panel(page)).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)
    picture = panel(page).get_by_role("img").get_attribute("src")
    expect(name).to_be_focused()
    expect(name).to_have_value("my-umb")
    assert list(store.list("images/")) == list(store.list("heads/")) == []

    name.press_sequentially("rella")
    expect(panel(page)).to_contain_text("a photo of a <my-umbrella>")
    assert panel(page).get_by_role("img").get_attribute("src") == picture, "a name changes no picture"
    assert violations(page) == []
    shot(page, "teach-first-guess-1400")

    page.get_by_label("What kind").fill("umbrella")
    page.get_by_role("button", name="Start learning").click()
    learning = page.get_by_role("article").filter(has_text="<my-umbrella>")
    expect(learning.get_by_role("img", name="First guess: a photo of a <my-umbrella>")).to_be_visible()
    assert violations(page) == []
    job_store = JobStore(store)
    (record,) = job_store.jobs()
    publish(store, model, "my-umbrella", "umbrella", "object")
    report(store, record, "done", "done", step=60, version=1, stopped="converged")
    expect(learning.get_by_role("img", name="Learned: a photo of a <my-umbrella>")).to_be_visible(timeout=DRAWN_MS)
    expect(learning.get_by_role("img", name=re.compile("First guess"))).to_have_count(0)
    shot(page, "watch-learned-after-guess-1400")


@pytest.mark.usefixtures("guess")
def test_other_pictures_are_guessed_anew_and_without_any_there_is_no_guess(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/teach", 400)
    choose(page)
    picture = panel(page).get_by_role("img")
    expect(picture).to_be_visible(timeout=DRAWN_MS)
    with page.expect_response("**/v1/concepts/guess") as answer:
        page.get_by_role("button", name=f"Remove {PICTURES[0].name}").click()
    assert answer.value.json()["pictures"] == len(PICTURES) - 1
    expect(panel(page)).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    for file in PICTURES[1:]:
        page.get_by_role("button", name=f"Remove {file.name}").click()
    expect(panel(page)).to_have_count(0)


def test_a_guess_that_fails_is_told_and_keeps_nobody_from_teaching(
    service: str, store: MemoryStore, guess: str, open_page: OpenPage
) -> None:
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    remove_guess(store, guess)
    choose(page)
    expect(panel(page)).to_contain_text("There is no first guess: there is no guess for", timeout=DRAWN_MS)
    expect(page.get_by_role("alert")).to_have_count(0)
    page.get_by_label("Name", exact=True).fill("my-umbrella")
    page.get_by_label("What kind").fill("umbrella")
    page.get_by_role("button", name="Start learning").click()
    expect(page.get_by_role("heading", name="<my-umbrella>")).to_be_visible(timeout=DRAWN_MS)


def test_where_the_base_model_has_no_guess_none_is_offered_and_nothing_is_sent(
    service: str, open_page: OpenPage
) -> None:
    page = open_page(f"{service}/#/teach")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    choose(page)
    expect(page.get_by_text("3 pictures: a good number.")).to_be_visible()
    page.wait_for_timeout(1000)  # longer than the page waits before it asks
    expect(panel(page)).to_have_count(0)
    assert sent == []
