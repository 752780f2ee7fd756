"""Drawing from the page, with a mouse and with the keyboard alone."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPage, drop, shot
from textinv.generation.infotext import Infotext, write_infotext, write_png

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
DRAWN_MS = 60_000
SIDE_PX = 64


def finished(page: Page) -> None:
    """Wait until nothing is being drawn."""
    expect(page.locator("article.run").first).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)


def fewer_steps(page: Page) -> None:
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Steps").fill("4")


@pytest.mark.parametrize("width", [1400, 400])
def test_a_name_is_completed_and_drawn_by_keyboard_alone(service: str, open_page: OpenPage, width: int) -> None:
    page = open_page(f"{service}/#/try", width)
    page.get_by_label("Prompt", exact=True).focus()
    page.keyboard.type("two <my-o")
    expect(page.get_by_role("listbox", name="Concepts").get_by_role("option")).to_have_text("<my-owl>")
    page.keyboard.press("Enter")
    page.keyboard.type(" on a red background")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("two <my-owl> on a red background")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("version 1, 1 vector")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("img", name=re.compile("two <my-owl> on a red background, seed"))).to_be_visible(
        timeout=DRAWN_MS
    )
    finished(page)
    shot(page, f"try-drawn-{width}")


@pytest.mark.parametrize("key", ["Enter", "Tab"])
def test_a_version_that_is_typed_stays(service: str, open_page: OpenPage, key: str) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).focus()
    page.keyboard.type("a <my-fox")
    expect(page.get_by_role("option", name="<my-fox>")).to_be_visible()
    page.keyboard.type("@1")
    expect(page.get_by_role("listbox", name="Concepts")).to_be_hidden()
    page.wait_for_timeout(500)  # longer than names are waited for
    page.keyboard.press(key)
    assert page.get_by_label("Prompt", exact=True).input_value().strip() == "a <my-fox@1"


def test_names_that_nobody_taught_are_told_before_and_after_drawing(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <nobody>")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("nobody")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Look under Concepts")


def test_settings_come_back_from_a_downloaded_picture(service: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <my-fox>")
    fewer_steps(page)
    page.get_by_label("new seed each time").uncheck()
    page.get_by_label("Seed", exact=True).fill("1234")
    page.get_by_role("button", name="Draw", exact=True).click()
    finished(page)
    page.get_by_text("Seed 1234").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "drawn.png")
    page.get_by_label("Prompt", exact=True).fill("something else")
    page.get_by_label("Seed", exact=True).fill("9")
    page.get_by_label("Settings from a picture").set_input_files(tmp_path / "drawn.png")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a <my-fox>")
    expect(page.get_by_label("Seed", exact=True)).to_have_value("1234")
    expect(page.get_by_label("Steps")).to_have_value("4")


def test_settings_of_a_picture_that_is_dropped_are_used_and_another_size_is_told(
    service: str, open_page: OpenPage, tmp_path: Path
) -> None:
    settings = {"Steps": "7", "Sampler": "Euler a", "CFG scale": "3", "Seed": "5", "Size": "512x768"}
    drawn = tmp_path / "drawn.png"
    drawn.write_bytes(write_png(np.zeros((8, 8, 3), dtype=np.uint8), write_infotext(Infotext("a hut", "", settings))))
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <my-fox>")
    expect(page.get_by_role("slider", name="Strength of my-fox")).to_be_visible()  # it moves what is below
    drop(page, page.get_by_role("heading", name="Try"), drawn)  # beside: nothing happens
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a <my-fox>")
    drop(page, page.get_by_text("Settings from a picture"), drawn)
    expect(page.get_by_text("Settings of drawn.png are in the form now.")).to_contain_text("at 512x768")
    expect(page.get_by_label("Prompt", exact=True)).to_have_value("a hut")
    expect(page.get_by_label("Steps")).to_have_value("7")
    shot(page, "try-read-back-1400")


def test_a_picture_whose_brackets_weigh_words_is_drawn_again_so(
    service: str, open_page: OpenPage, tmp_path: Path
) -> None:
    settings = {"Steps": "3", "Sampler": "Euler a", "Seed": "5"}
    file = tmp_path / "drawn.png"
    file.write_bytes(
        write_png(np.zeros((8, 8, 3), np.uint8), write_infotext(Infotext("a (red:1.3) hut", "", settings)))
    )
    page = open_page(f"{service}/#/try")
    page.get_by_label("Settings from a picture").set_input_files(file)
    expect(page.get_by_label("brackets weigh words")).to_be_checked()
    with page.expect_request("**/v1/images/generations") as asked:
        page.get_by_role("button", name="Draw", exact=True).click()
    assert asked.value.post_data_json["attention_weights"] is True
    finished(page)
    page.get_by_text("Seed 5").click()
    expect(page.get_by_role("article").first).to_contain_text("weigh words")


def test_history_outlives_the_tab_until_it_is_forgotten(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    for prompt in ("a <my-fox>", "a <nobody>"):
        page.get_by_label("Prompt", exact=True).fill(prompt)
        page.get_by_role("button", name="Draw", exact=True).click()
        finished(page)
    page.get_by_role("link", name="Concepts", exact=True).click()
    page.get_by_role("link", name="Try", exact=True).click()
    expect(page.get_by_role("article")).to_have_count(2)
    again = page.context.new_page()
    page.close()
    again.goto(f"{service}/#/try")
    expect(again.get_by_role("article")).to_have_count(2)
    expect(again.get_by_role("alert")).to_contain_text("Look under Concepts")
    picture = again.get_by_role("img", name=re.compile("a <my-fox>, seed"))
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0")
    again.get_by_text(re.compile(r"^Seed \d+$")).click()
    again.get_by_role("button", name="Use these settings").click()
    expect(again.get_by_label("Prompt", exact=True)).to_have_value("a <my-fox>")
    shot(again, "try-history-1400")
    again.get_by_role("button", name="Forget all pictures").click()
    expect(again.get_by_role("article")).to_have_count(0)
    again.reload()
    expect(again.get_by_text("Pictures appear here while they are drawn.")).to_be_visible()
    expect(again.get_by_role("article")).to_have_count(0)


def test_pictures_go_on_being_drawn_while_another_view_is_looked_at(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <my-owl>")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_role("link", name="Concepts", exact=True).click()
    expect(page.get_by_role("searchbox")).to_be_visible()
    page.get_by_role("link", name="Try", exact=True).click()
    finished(page)
    expect(page.get_by_role("img", name=re.compile("a <my-owl>, seed"))).to_be_visible()


def test_same_seed_side_by_side_and_a_grid(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <my-fox>")
    fewer_steps(page)
    page.get_by_text("Compare", exact=True).click()
    page.get_by_label("Instead of <my-fox>").fill("fox, <my-owl>, my-fox@1")
    page.get_by_role("button", name="Draw side by side").click()
    finished(page)
    seeds = page.locator("article.run").first.locator("summary").all_inner_texts()
    assert len(seeds) == 4
    assert len(set(seeds)) == 1
    page.get_by_label("Concepts, one per line").fill("my-fox\nmy-owl")
    page.get_by_label("Prompts, one per line").fill("a {}\n{} on a blue background\n<my-sketch> of {}")
    page.get_by_role("button", name="Draw the grid").click()
    finished(page)
    assert page.locator("article.run").first.get_by_role("img").count() == 6
    shot(page, "try-grid-1400")


def test_a_picture_appears_while_it_is_drawn(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <my-fox>")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Steps").fill("40")
    page.get_by_role("button", name="Draw", exact=True).click()
    run = page.get_by_role("article").first
    picture = run.get_by_role("img", name=re.compile("a <my-fox>, seed"))
    expect(picture).to_be_visible(timeout=DRAWN_MS)
    expect(run).to_have_attribute("aria-busy", "true")
    early = picture.get_attribute("src") or ""
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") == SIDE_PX
    shot(page, "try-sketch-1400")
    expect(picture).not_to_have_attribute("src", early, timeout=DRAWN_MS)  # the next sketch, or the picture
    expect(run).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)
    expect(picture).to_have_count(1)
    run.get_by_text(re.compile("^Seed")).click()
    expect(run.get_by_role("button", name="Download")).to_be_enabled()


def test_a_drawing_can_be_stopped(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    page.get_by_label("Prompt", exact=True).fill("a <my-fox>")
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Steps").fill("150")
    page.get_by_role("button", name="Draw", exact=True).click()
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Stopped.")).to_be_visible()
