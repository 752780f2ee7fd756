"""Teaching and drawing with all their settings, by keyboard alone."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import press, tab_to
from tests.browser.conftest import OpenPage, ready_to_teach
from tests.services.job_tools import photo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
DRAWN_MS = 60_000


def write(page: Page, label: str, text: str) -> None:
    """Write into a field, in place of what is there."""
    tab_to(page, page.get_by_label(label, exact=True))
    page.keyboard.press("Control+A")
    page.keyboard.type(text)


def drawn(page: Page) -> None:
    expect(page.get_by_role("article").first).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)


def test_all_settings_of_teach_are_filled_in_and_it_starts(service: str, open_page: OpenPage, tmp_path: Path) -> None:
    files = [tmp_path / f"{seed}.png" for seed in (1, 2, 3)]
    for seed, file in enumerate(files):
        file.write_bytes(photo(seed))
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    with page.expect_file_chooser() as chooser:
        press(page, page.get_by_label("Pictures", exact=True))
    chooser.value.set_files(files)
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen).to_have_count(3)
    press(page, page.get_by_role("button", name="Remove 2.png"))
    expect(chosen).to_have_count(2)

    write(page, "Name", "keyed-style")
    tab_to(page, page.get_by_label("a thing"))
    page.keyboard.press("ArrowDown")
    write(page, "What kind", "sketch")
    tab_to(page, page.get_by_label("Balanced"))
    page.keyboard.press("ArrowRight")
    expect(page.get_by_label("Faithful")).to_be_checked()
    press(page, page.get_by_text("More", exact=True))
    write(page, "Start from", "drawing")
    write(page, "Vectors", "6")
    press(page, page.get_by_role("button", name="Estimate"))
    expect(page.get_by_role("status", name="Estimate")).to_contain_text("Sample passes", timeout=DRAWN_MS)
    with page.expect_request(re.compile("dry_run=false")) as asked:
        press(page, page.get_by_role("button", name="Start learning"))
    manifest = asked.value.post_data_json
    concept = manifest["concepts"][0]
    assert len(concept.pop("images")) == 2
    assert manifest["defaults"] == {"recipe": "faithful"}
    assert concept == {
        "name": "keyed-style",
        "kind": "style",
        "class_word": "sketch",
        "init": "drawing",
        "num_vectors": 6,
    }
    expect(page.get_by_role("heading", level=1)).to_have_text("keyed-style")
    expect(page.get_by_role("button", name="Cancel job")).to_be_visible()


def test_all_settings_of_try_are_filled_in_and_drawn(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    write(page, "Prompt", "a <my-fo")
    expect(page.get_by_role("option", name="<my-fox>")).to_be_visible()
    page.keyboard.press("Tab")  # completes, and stays
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a <my-fox>")
    press(page, page.get_by_text("Settings", exact=True))
    write(page, "Negative prompt", "red")
    write(page, "Steps", "3")
    write(page, "Guidance", "2.5")
    write(page, "Pictures", "2")
    tab_to(page, page.get_by_label("Noise scheduler"))
    page.keyboard.press("ArrowDown")
    kind = page.get_by_label("Noise scheduler").input_value()
    assert kind
    tab_to(page, page.get_by_label("new seed each time"))
    page.keyboard.press("Space")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_label("Seed", exact=True)).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.type("77")
    with page.expect_request("**/v1/images/generations") as asked:
        page.keyboard.press("Enter")
    wanted: dict[str, Any] = {
        "prompt": "a <my-fox>",
        "negative_prompt": "red",
        "num_inference_steps": 3,
        "guidance_scale": 2.5,
        "n": 2,
        "noise_scheduler": kind,
        "seed": 77,
    }
    asked_for = asked.value.post_data_json
    assert {name: asked_for.get(name) for name in wanted} == wanted
    drawn(page)
    latest = page.get_by_role("article").first
    expect(latest.get_by_role("img")).to_have_count(2)
    press(page, latest.get_by_text("Seed 78"))
    with page.expect_download() as download:
        press(page, latest.get_by_role("button", name="Download"))
    assert download.value.suggested_filename == "a-my-fox--78.png"


def test_a_grid_is_drawn_and_settings_are_taken_from_what_was_drawn(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    press(page, page.get_by_text("Settings", exact=True))
    write(page, "Steps", "3")
    press(page, page.get_by_text("Compare", exact=True))
    write(page, "Concepts, one per line", "my-fox\nmy-owl")
    write(page, "Prompts, one per line", "a {}")
    press(page, page.get_by_role("button", name="Draw the grid"))
    drawn(page)
    grid = page.get_by_role("article", name="Grid of 2 x 1")
    expect(grid.get_by_role("img")).to_have_count(2)
    press(page, grid.get_by_text(re.compile("^Seed")).last)
    press(page, grid.get_by_role("button", name="Use these settings"))
    expect(page.get_by_label("Prompt", exact=True)).to_be_focused()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a <my-owl>")
    expect(page.get_by_label("Steps")).to_have_value("3")
    with page.expect_file_chooser():
        press(page, page.get_by_label("Settings from a picture"))
