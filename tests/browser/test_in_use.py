"""Views in the middle of being used, narrow and wide, light and dark: they fit, and keep nobody out."""

import re

import pytest
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, ready_to_teach, shot
from tests.services.job_tools import photo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
DRAWN_MS = 60_000
LEGIBLE_PX = 100
"""Settings beside a picture that have less room than this break up into syllables."""
sizes = pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "light"), (1400, "dark"), (400, "dark")])


def fits(page: Page, name: str, width: int, scheme: str) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"{name}-{width}-{scheme}")


@sizes
def test_drawing(service: str, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(f"{service}/#/try", width, scheme)
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.press_sequentially("a <my-")
    expect(page.get_by_role("listbox", name="Concepts").get_by_role("option").first).to_be_visible()
    fits(page, "try-completing", width, scheme)
    page.keyboard.press("Escape")
    prompt.fill("a <my-fox> beside <nobody>")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("nobody")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Steps").fill("4")
    page.get_by_label("Pictures", exact=True).fill("2")
    page.get_by_text("Compare", exact=True).click()
    page.get_by_label("Concepts, one per line").fill("my-fox\nmy-owl")
    page.get_by_label("Prompts, one per line").fill("a {}")
    page.get_by_role("button", name="Draw the grid").click()
    prompt.fill("a <my-owl> of <my-sketch>")
    page.get_by_role("button", name="Draw", exact=True).click()
    latest = page.get_by_role("article").first
    expect(latest.get_by_role("img", name=re.compile("my-owl.*, seed"))).to_have_count(2, timeout=DRAWN_MS)
    expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=DRAWN_MS)
    latest.get_by_text(re.compile("Seed")).first.click()
    expect(latest).not_to_contain_text(re.compile("[0-9a-f]{20}"))  # digests are for programs
    widths_px = latest.locator("dd").evaluate_all("all => all.map((one) => one.clientWidth)")
    assert min(widths_px) > LEGIBLE_PX
    expect(page.get_by_label("Replace")).to_have_value("<my-owl>")
    expect(page.get_by_label("Instead of <my-owl>")).to_have_value("owl")
    fits(page, "try-history", width, scheme)


@sizes
def test_choosing_pictures(service: str, open_page: OpenPage, width: int, scheme: str) -> None:
    page = ready_to_teach(open_page(f"{service}/#/teach", width, scheme))
    files = [photo(1), photo(2), photo(1), photo(3, 9, 9), b"nothing"]
    payloads = [FilePayload(name=f"{place}.png", mimeType="image/png", buffer=one) for place, one in enumerate(files)]
    page.get_by_label("Pictures", exact=True).set_input_files(payloads)
    expect(page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")).to_have_count(5)
    page.get_by_label("Name", exact=True).fill("-wrong-")
    fits(page, "teach-chosen", width, scheme)
    page.get_by_label("Name", exact=True).fill("right-fox")
    page.get_by_label("What kind").fill("fox")
    page.get_by_role("button", name="Estimate").click()
    estimate = page.get_by_role("status", name="Estimate")
    expect(estimate).to_contain_text("0.png and 2.png look the same", timeout=DRAWN_MS)
    expect(page.get_by_text("2 pictures: 3 to 5 teach more.")).to_be_visible()
    expect(estimate).not_to_contain_text("sha256:")
    fits(page, "teach-estimated", width, scheme)


@sizes
def test_being_asked(service: str, open_page: OpenPage, width: int, scheme: str) -> None:
    page = open_page(f"{service}/#/concepts/my-fox", width, scheme)
    page.get_by_role("button", name="Make current").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    fits(page, "concept-asked", width, scheme)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="API key").click()
    expect(page.get_by_role("dialog", name="API key")).to_be_visible()
    fits(page, "key-asked", width, scheme)
