"""The slider of a concept's strength, and the hint for a name without brackets."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, shot

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest.mark.parametrize("width", [1400, 400])
def test_a_slider_writes_the_strength_into_the_prompt(service: str, open_page: OpenPage, width: int) -> None:
    page = open_page(f"{service}/#/try", width)
    prompt = page.get_by_label("Prompt", exact=True)
    prompt.fill("a <my-fox> on a hill, <my-fox>")
    slider = page.get_by_role("slider", name="Strength of my-fox")
    expect(slider).to_have_value("1")
    slider.fill("0.5")
    expect(prompt).to_have_value("a <my-fox:0.5> on a hill, <my-fox:0.5>")
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(prompt).to_have_value(re.compile("^a <my-fox:0.55>"))
    assert violations(page) == []
    shot(page, f"strength-{width}")
    slider.fill("1")
    expect(prompt).to_have_value("a <my-fox> on a hill, <my-fox>")
    prompt.fill("a <my-fox+my-owl>")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("my-owl")
    expect(page.get_by_role("slider")).to_have_count(0)


def test_a_name_without_brackets_gets_a_hint(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/concepts")
    expect(page.get_by_role("link", name="my-fox thing, version 2")).to_be_visible()  # the list was read
    page.goto(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a my-fox on a hill")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("write <my-fox> for the concept")
