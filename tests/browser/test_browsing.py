"""Finding a concept among others, and all there is to know of each of its versions."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.accessibility import press, tab_to, violations
from tests.browser.conftest import OpenPage, shot
from tests.browser.in_process import publish, running
from textinv.models.base import BaseModel
from textinv.placeholders import ConceptRef
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
A_SECOND_LATER = 1.1  # records say to the second when they were made
VERSIONS = {1: ("fox", 0.611), 2: ("crab", 0.702), 3: ("owl", 0.843)}


@pytest.fixture(scope="module")
def stocked(model: BaseModel) -> Iterator[str]:
    """A service with a concept of three versions, and others that are styles, newer, or of another base model."""
    store = MemoryStore()
    publish(store, model, "zebra", "horse", "object")
    time.sleep(A_SECOND_LATER)
    for word, fidelity in VERSIONS.values():
        publish(store, model, "my-fox", word, "object", fidelity)
    time.sleep(A_SECOND_LATER)
    publish(store, model, "their-fox", "fox", "object", base="sd15")
    publish(store, model, "a-sketch", "sketch", "style")
    with running(store, model) as url:
        yield url


def shelf(page: Page) -> Locator:
    return page.get_by_role("list", name="Concepts").get_by_role("listitem")


def names(page: Page, *expected: str) -> None:
    """Check which concepts are shown, in this order."""
    expect(shelf(page).locator(".name")).to_have_text(list(expected))


def test_concepts_are_told_apart_by_base_model_kind_and_age(stocked: str, open_page: OpenPage) -> None:
    page = open_page(f"{stocked}/#/concepts")
    names(page, "a-sketch", "my-fox", "their-fox", "zebra")
    expect(shelf(page).nth(2)).to_contain_text("on sd15")
    page.get_by_label("Base model").select_option(label="emoji, which draws here")
    names(page, "a-sketch", "my-fox", "zebra")
    expect(page.get_by_text("3 concepts")).to_be_visible()
    page.get_by_label("Order").select_option("newest")
    names(page, "a-sketch", "my-fox", "zebra")
    page.get_by_label("Base model").select_option(label="sd15")
    names(page, "their-fox")
    page.get_by_label("Base model").select_option("")
    names(page, "a-sketch", "their-fox", "my-fox", "zebra")
    page.get_by_label("Kind").select_option("object")
    names(page, "their-fox", "my-fox", "zebra")
    page.get_by_label("Search").fill("FOX")
    names(page, "their-fox", "my-fox")
    page.get_by_label("Kind").select_option("style")
    expect(page.get_by_text("No concept matches.")).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_filters_fit_and_keep_nobody_out(stocked: str, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(f"{stocked}/#/concepts", width, scheme)
    page.get_by_label("Base model").select_option(label="emoji, which draws here")
    page.get_by_label("Order").select_option("newest")
    names(page, "a-sketch", "my-fox", "zebra")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"browse-filtered-{width}-{scheme}")


def test_a_concept_is_searched_and_opened_by_keyboard_alone(stocked: str, open_page: OpenPage) -> None:
    page = open_page(f"{stocked}/#/try")
    press(page, page.get_by_role("link", name="Concepts", exact=True))
    tab_to(page, page.get_by_label("Search"))
    page.keyboard.type("fox")
    names(page, "my-fox", "their-fox")
    tab_to(page, page.get_by_label("Order"))
    page.keyboard.type("new")
    names(page, "their-fox", "my-fox")
    press(page, shelf(page).get_by_role("link", name="my-fox"))
    expect(page.get_by_role("heading", level=1)).to_have_text("<my-fox>")
    press(page, page.get_by_role("link", name="Show version 1"))
    expect(page.get_by_role("heading", level=1)).to_have_text("<my-fox@1>")
    press(page, page.get_by_role("link", name="Try it"))
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a photo of <my-fox@1>")


def test_every_version_is_shown_with_its_own_scores(stocked: str, open_page: OpenPage) -> None:
    page = open_page(f"{stocked}/#/concepts/my-fox")
    versions = page.locator("section", has=page.get_by_role("heading", name="3 versions")).get_by_role("listitem")
    expect(versions).to_have_count(3)
    expect(versions.nth(0)).to_contain_text("<my-fox@3>")
    expect(versions.nth(0)).to_contain_text("current")
    score = page.get_by_role("listitem").filter(has_text="How alike drawn and real pictures are").locator("strong")
    for number, (word, fidelity) in VERSIONS.items():
        if number != 3:
            page.get_by_role("link", name=f"Show version {number}").click()
        else:
            page.get_by_role("link", name="Show the current one").click()
        expect(score).to_have_text(f"{fidelity:.3f}")
        expect(page.get_by_text(f"a kind of {word}, version {number}, on emoji")).to_be_visible()
        expect(versions.nth(3 - number)).to_contain_text("shown here")
        told = page.get_by_text("Not the current version: prompts with <my-fox> are drawn with version 3.")
        expect(told).to_have_count(0 if number == 3 else 1)


def test_a_concept_without_scores_says_why_and_shows_what_is_known(model: BaseModel, open_page: OpenPage) -> None:
    store = MemoryStore()
    publish(store, model, "my-fox", "fox", "object")
    registry, problem = Registry(store), {"code": "invalid_settings", "message": "it has no CLIP of its own"}
    known = {"norm_ratio": {"text_encoder": 1.25}, "anchor_word": "fox", "error": problem}
    registry.add_evaluation(registry.resolve(ConceptRef("my-fox")), known)
    with running(store, model) as url:
        page = open_page(f"{url}/#/concepts/my-fox")
        evidence = page.locator("section", has=page.get_by_role("heading", name="Evidence"))
        expect(evidence.locator(".scores strong")).to_have_text(["1.250"])
        expect(evidence.get_by_text("It has no scores: it has no CLIP of its own.")).to_be_visible()
        expect(evidence.get_by_text("textinv evaluate my-fox@1", exact=True)).to_be_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "light"), (1400, "dark"), (400, "dark")])
def test_an_older_version_fits_and_keeps_nobody_out(stocked: str, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(f"{stocked}/#/concepts/my-fox?version=2", width, scheme)
    expect(page.get_by_role("heading", level=1)).to_have_text("<my-fox@2>")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"concept-older-{width}-{scheme}")
