"""From an empty store to a drawing, by keyboard alone: a real Serve, a real fleet with its own Ray, the real store."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import press, tab_to, violations
from tests.browser.conftest import DROP_BOX, OpenPage, drop, paste, ready_to_teach
from tests.browser.real_service import DRAWN_MS, LEARNED_MS, choose, describe, pictures_of, shots, started
from tests.services.job_tools import photo
from textinv.store import EmbeddedServer

pytestmark = [pytest.mark.browser, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(400)]
PICTURES = pictures_of("umbrella")
TO_GUESS = {"/v1/concepts/guess", "/v1/images/generations"}
"""All that is asked before anything is to be learned, where the base model has a guess: nothing of it is stored."""


@pytest.fixture(scope="module")
def empty_service(s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A service as a person starts it, with nothing in its store; its URL."""
    with started(s3_server.up(), tmp_path_factory.mktemp("browsed")) as url:
        yield url


def test_a_word_is_taught_watched_drawn_and_found(empty_service: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(empty_service)
    address = taught(page, tmp_path)
    page.close()
    page = open_page(address)
    watched(page)
    drawn(page)
    found(page)


def taught(page: Page, folder: Path) -> str:
    """Teach from some pictures and some that are none; where it can be watched."""
    broken, small = folder / "broken.png", folder / "small.png"
    broken.write_text("this is no picture")
    small.write_bytes(photo(1, 9, 9))
    expect(page.get_by_text("No concept yet?")).to_be_visible()
    press(page, page.get_by_role("link", name="Teach", exact=True))
    expect(page.get_by_role("heading", name="Teach")).to_be_visible()

    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    choose(page, *PICTURES, PICTURES[0], broken, small)
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen).to_have_count(6)
    expect(chosen.nth(3)).to_contain_text("looks the same as")
    expect(chosen.nth(4)).to_contain_text("not a picture")
    expect(chosen.nth(5)).to_contain_text("too small")
    assert {urlsplit(url).path for url in sent} <= TO_GUESS
    shots(page, "teach-problems")
    for place in (5, 4, 3):
        press(page, chosen.nth(place).get_by_role("button"))
    expect(chosen).to_have_count(3)
    describe(page, "my-umbrella")
    press(page, page.get_by_role("button", name="Estimate"))
    expect(page.get_by_role("status", name="Estimate")).to_contain_text("Sample passes", timeout=DRAWN_MS)
    assert violations(page) == []
    shots(page, "teach-estimate")
    press(page, page.get_by_role("button", name="Start learning"))

    expect(page.get_by_role("heading", name="<my-umbrella>")).to_be_visible(timeout=DRAWN_MS)
    expect(page.get_by_text(re.compile(r"^Step \d+ of at most 60"))).to_be_visible(timeout=LEARNED_MS)
    shots(page, "watch-learning")
    return page.url


def watched(page: Page) -> None:
    """Watch it to its end."""
    expect(page.get_by_role("link", name="Try it")).to_be_visible(timeout=LEARNED_MS)
    expect(page.get_by_text(re.compile("^Stopped at step"))).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Preview at step")).last).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Training picture"))).to_have_count(3)
    expect(page.get_by_role("img", name=re.compile("Loss of my-umbrella"))).to_contain_text("stopped at step")
    assert violations(page) == []
    shots(page, "watch-done")


def drawn(page: Page) -> None:
    """Draw with it, and beside its class word."""
    press(page, page.get_by_role("link", name="Try it"))
    tab_to(page, page.get_by_label("Prompt", exact=True))
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("img", name=re.compile("a photo of <my-umbrella>, seed")).last).to_be_visible(
        timeout=DRAWN_MS
    )
    press(page, page.get_by_text("Compare", exact=True))
    expect(page.get_by_label("Instead of <my-umbrella>")).to_have_value("umbrella")
    press(page, page.get_by_role("button", name="Draw side by side"))
    run = page.locator("article.run").first
    expect(run).to_contain_text("side by side")
    expect(run).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)
    expect(run.get_by_role("img")).to_have_count(2)
    page.get_by_text("Compare", exact=True).click()
    shots(page, "try-compared")


def found(page: Page) -> None:
    """Find it among the concepts, with its evidence."""
    press(page, page.get_by_role("link", name="Concepts", exact=True))
    expect(page.get_by_role("link", name=re.compile("my-umbrella"))).to_be_visible()
    shots(page, "browse")
    press(page, page.get_by_role("link", name=re.compile("my-umbrella")))
    expect(page.get_by_role("img", name="Picture of my-umbrella")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Loss of my-umbrella"))).to_be_visible()
    shots(page, "concept-learned")


def test_a_job_of_several_concepts_is_watched_to_its_end(empty_service: str, open_page: OpenPage) -> None:
    taught = {
        "one-fox": ("dotty-fox", "fox"),
        "one-teapot": ("striped-teapot", "teapot"),
        "one-hat": ("umbrella", "hat"),
    }
    concepts = [
        {"name": name, "images": [stored(empty_service, path) for path in pictures_of(folder)], "class_word": word}
        for name, (folder, word) in taught.items()
    ]
    short = {"recipe": "fast", "max_steps": 20, "min_steps": 20, "evaluate": False}
    job = {"base_model": "emoji", "name": "three at once", "concepts": [short | concept for concept in concepts]}
    reply = httpx.post(f"{empty_service}/v1/jobs", json=job, timeout=30)
    assert reply.status_code < 300, reply.text
    page = open_page(f"{empty_service}/#/jobs/{reply.json()['id']}")
    expect(page.get_by_text(re.compile("^Stopped at step"))).to_have_count(3, timeout=LEARNED_MS)
    for name in taught:
        one = page.get_by_role("article").filter(has_text=f"<{name}>")
        expect(one.get_by_role("img", name=re.compile("Training picture"))).to_have_count(3)
        expect(one.get_by_role("link", name="Try it")).to_be_visible()
    assert violations(page) == []
    shots(page, "watch-several")


def stored(url: str, path: Path) -> str:
    """Send a picture; its id."""
    return str(httpx.post(f"{url}/v1/images", content=path.read_bytes()).json()["id"])


def test_learning_is_cancelled_and_taken_up_again(empty_service: str, open_page: OpenPage) -> None:
    page = ready_to_teach(open_page(f"{empty_service}/#/teach"))
    drop(page, page.get_by_text(DROP_BOX), *PICTURES[:2])
    paste(page, PICTURES[2])
    describe(page, "my-brolly")
    press(page, page.get_by_role("button", name="Start learning"))
    press(page, page.get_by_role("button", name="Cancel job"))
    press(page, page.get_by_role("button", name="Cancel and drop"))
    expect(page.get_by_role("main")).to_contain_text("cancelled", timeout=DRAWN_MS)
    press(page, page.get_by_role("button", name="Go on"))
    press(page, page.get_by_role("button", name="Cancel job"))
    press(page, page.get_by_role("button", name="Cancel and drop"))
    expect(page.get_by_role("button", name="Go on")).to_be_visible(timeout=DRAWN_MS)
    page.get_by_role("link", name="Fleet").click()
    expect(page.get_by_role("heading", name="Now")).to_be_visible()
    shots(page, "fleet-working")
