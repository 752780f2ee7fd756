"""Every view, narrow and wide, light and dark: nothing overflows, nothing keeps anybody out."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, shot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
VIEWS = {
    "try": "Try",
    "teach": "Teach",
    "jobs": "Jobs",
    "concepts": "Concepts",
    "concepts/my-fox": "<my-fox>",
    "fleet": "Fleet",
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "light"), (1400, "dark"), (400, "dark")])
def test_a_view_fits_and_keeps_nobody_out(
    service: str, open_page: OpenPage, view: str, width: int, scheme: str
) -> None:
    page = open_page(f"{service}/#/{view}", width, scheme)
    expect(page.get_by_role("heading", level=1)).to_have_text(VIEWS[view])
    expect(page.get_by_text("Loading")).to_have_count(0)
    for summary in page.locator("main details.settings > summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"{view.replace('/', '-')}-{width}-{scheme}")


def test_what_people_wrote_is_text_whatever_it_says(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/concepts/my-fox")
    page.get_by_text("Training record").click()
    expect(page.locator("pre")).to_contain_text("<script>document.title")
    page.goto(f"{service}/#/try?prompt={'%3Cimg src=x onerror=alert(1)%3E'}")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("<img src=x onerror=alert(1)>")
    page.goto(f"{service}/#/concepts/%3Cscript%3Ealert(1)%3C%2Fscript%3E")
    expect(page.get_by_role("alert")).to_contain_text("<script>alert(1)</script>")
    assert "taken over" not in page.title()


def test_no_script_and_no_picture_from_elsewhere_is_allowed(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/")
    policy = page.request.get(service).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


def test_a_missing_concept_says_what_to_do(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/concepts/nobody")
    expect(page.get_by_role("alert")).to_contain_text("Look under Concepts")


def test_an_older_version_is_made_current(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/concepts/my-fox")
    page.get_by_role("button", name="Make current").click()
    page.get_by_role("button", name="Make it current").click()
    expect(page.get_by_text("Version 1 is the current one now.")).to_be_visible()


def test_an_embedding_is_downloaded(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/concepts/my-owl")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download: One file for nearly all").click()
    assert download.value.suggested_filename == "my-owl.safetensors"
    assert Path(download.value.path()).stat().st_size > 500
