"""A thing and a style in one sentence, and a concept taught twice: a real Serve, a real fleet, the real store."""

import base64
import io
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import press, tab_to, violations
from tests.browser.conftest import OpenPage
from tests.browser.real_service import DRAWN_MS, choose, describe, pictures_of, shots, started
from textinv.embedding import import_embedding
from textinv.store import EmbeddedServer

pytestmark = [pytest.mark.browser, pytest.mark.ray, pytest.mark.store, pytest.mark.timeout(1500)]
TAUGHT_MS = 480_000  # two are taught at once, and evaluated
SEED = 11
HEAD_SEEN_S = 30.0
AS_PNG = """async (image) => {
    await image.decode();
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: image.naturalWidth, height: image.naturalHeight });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL("image/png").split(",")[1];
}"""
FORMATS = {
    "One file for nearly all programs": "my-brolly.safetensors",
    "diffusers": "my-brolly-diffusers.safetensors",
    "A1111, older": "my-brolly.pt",
    "OneTrainer": "my-brolly-onetrainer.safetensors",
}


@pytest.fixture(scope="module")
def taught(s3_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[str]:
    """A service that was taught a style, and a thing twice, with three vectors and with two; its URL."""
    with started(s3_server.up(), tmp_path_factory.mktemp("styled")) as url:
        page = chromium.new_page()
        style = begin(page, url, "my-blueprint", "blueprint-style", "sketch", style=True)
        learned(page, begin(page, url, "my-brolly", "umbrella", "umbrella"))
        learned(page, style)
        learned(page, begin(page, url, "my-brolly", "umbrella", "umbrella", num_vectors="2"))
        page.close()
        yield url


def begin(page: Page, url: str, name: str, pictures: str, word: str, style: bool = False, num_vectors: str = "") -> str:
    """Teach by keyboard; where it can be watched."""
    page.goto(f"{url}/#/teach")
    page.reload()
    choose(page, *pictures_of(pictures))
    describe(page, name, word, style)
    press(page, page.get_by_text("More", exact=True))
    tab_to(page, page.get_by_label("Vectors", exact=True))
    page.keyboard.type(num_vectors)
    press(page, page.get_by_role("button", name="Start learning"))
    expect(page.get_by_role("heading", name=f"<{name}>")).to_be_visible(timeout=DRAWN_MS)
    return page.url


def learned(page: Page, address: str) -> None:
    """Watch a job to its end."""
    page.goto(address)
    expect(page.get_by_role("link", name="Try it")).to_be_visible(timeout=TAUGHT_MS)
    expect(page.get_by_text(re.compile("^Stopped at step"))).to_be_visible()


def drawn(page: Page, prompt: str) -> np.ndarray:
    """Draw a prompt with the seed of these tests, and look at what came."""
    tab_to(page, page.get_by_label("Prompt", exact=True))
    page.keyboard.press("Control+A")
    page.keyboard.type(prompt)
    page.keyboard.press("Escape")  # whatever it would complete
    page.keyboard.press("Control+Enter")
    run = page.get_by_role("article", name=prompt).first
    expect(run).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)
    return pixels(base64.b64decode(run.get_by_role("img").evaluate(AS_PNG)))


def redrawn(page: Page, prompt: str) -> np.ndarray:
    """Draw a prompt that was drawn before, and look at what comes now."""
    page.get_by_role("button", name="Forget all pictures").click()
    expect(page.get_by_role("article")).to_have_count(0)
    return drawn(page, prompt)


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int16)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).mean())


def seeded(page: Page) -> None:
    """Draw with one seed from now on."""
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("new seed each time").uncheck()
    page.get_by_label("Seed", exact=True).fill(str(SEED))
    page.get_by_label("Steps").fill("12")


def test_a_style_is_applied_to_a_thing(taught: str, open_page: OpenPage) -> None:
    page = open_page(f"{taught}/#/try")
    seeded(page)
    plain = drawn(page, "a photo of <my-brolly>")
    sketched = drawn(page, "a <my-brolly> in the style of sketch")
    styled = drawn(page, "a <my-brolly> in the style of <my-blueprint>")
    held = page.get_by_label("What the prompt holds")
    expect(held).to_contain_text("<my-brolly> version 2, 2 vectors")
    expect(held).to_contain_text("<my-blueprint> version 1, 3 vectors")
    assert apart(plain, styled) > 5
    assert apart(sketched, styled) > 1
    assert violations(page) == []
    shots(page, "try-styled")
    page.goto(f"{taught}/#/concepts")
    page.get_by_label("Kind").select_option("style")
    shelf = page.get_by_role("list", name="Concepts").get_by_role("listitem")
    expect(shelf).to_have_count(1)
    expect(shelf).to_contain_text("my-blueprint")
    page.get_by_label("Kind").select_option("object")
    expect(shelf).to_contain_text("my-brolly")


def test_a_grid_a_history_and_settings_from_a_picture(taught: str, open_page: OpenPage, tmp_path: Path) -> None:
    page = open_page(f"{taught}/#/try")
    seeded(page)
    page.get_by_text("Compare", exact=True).click()
    page.get_by_label("Concepts, one per line").fill("my-brolly\nmy-brolly@1")
    page.get_by_label("Prompts, one per line").fill("a photo of {}\n{} in the style of <my-blueprint>")
    page.get_by_role("button", name="Draw the grid").click()
    grid = page.get_by_role("article", name="Grid of 2 x 2")
    expect(grid).to_have_attribute("aria-busy", "false", timeout=DRAWN_MS)
    expect(grid.get_by_role("img")).to_have_count(4)
    last = grid.get_by_role("figure").last
    last.get_by_text(f"Seed {SEED}").click()
    with page.expect_download() as download:
        last.get_by_role("button", name="Download").click()
    download.value.save_as(tmp_path / "drawn.png")
    shots(page, "try-grid-of-learned")

    again = page.context.new_page()
    page.close()
    again.goto(f"{taught}/#/try")
    expect(again.get_by_role("article", name="Grid of 2 x 2").get_by_role("img")).to_have_count(4)
    again.get_by_label("Settings from a picture").set_input_files(tmp_path / "drawn.png")
    prompt = again.get_by_label("Prompt", exact=True)
    expect(prompt).to_have_value("<my-brolly@1> in the style of <my-blueprint>")
    expect(again.get_by_label("Seed", exact=True)).to_have_value(str(SEED))
    downloaded = pixels((tmp_path / "drawn.png").read_bytes())
    assert apart(drawn(again, "<my-brolly@1> in the style of <my-blueprint>"), downloaded) < 1


def test_the_first_version_is_drawn_again_when_it_is_made_current(taught: str, open_page: OpenPage) -> None:
    page = open_page(f"{taught}/#/try")
    seeded(page)
    first, second = drawn(page, "a <my-brolly@1>"), drawn(page, "a <my-brolly@2>")
    assert apart(first, second) > 1
    assert apart(drawn(page, "a <my-brolly>"), second) == 0

    page.goto(f"{taught}/#/concepts/my-brolly")
    expect(page.get_by_role("heading", name="2 versions")).to_be_visible()
    fidelity = page.get_by_role("listitem").filter(has_text="How alike drawn and real pictures are").locator("strong")
    scores = [fidelity.inner_text()]
    expect(page.locator("dt", has_text="Vectors").locator("+ dd")).to_have_text("2")
    press(page, page.get_by_role("link", name="Show version 1"))
    expect(page.get_by_role("heading", level=1)).to_have_text("<my-brolly@1>")
    expect(page.locator("dt", has_text="Vectors").locator("+ dd")).to_have_text("3")
    scores.append(fidelity.inner_text())
    versions = [httpx.get(f"{taught}/v1/concepts/my-brolly?version={number}").json() for number in (2, 1)]
    assert scores == [f"{one['evaluation']['encoders'][0]['fidelity']:.3f}" for one in versions]
    shots(page, "concept-first-version")
    press(page, page.get_by_role("button", name="Make current: version 1"))
    press(page, page.get_by_role("button", name="Make it current"))
    expect(page.get_by_text("Version 1 is the current one now.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("<my-brolly>")
    assert violations(page) == []
    shots(page, "concept-rolled-back")

    page.goto(f"{taught}/#/try")
    page.get_by_label("Prompt", exact=True).fill("the <my-brolly>")
    expect(page.get_by_label("What the prompt holds")).to_contain_text("version 1, 3 vectors")
    deadline = time.monotonic() + HEAD_SEEN_S  # a replica looks for new heads every few seconds
    while apart(redrawn(page, "a <my-brolly>"), first) and time.monotonic() < deadline:
        continue
    assert apart(redrawn(page, "a <my-brolly>"), first) == 0
    page.goto(f"{taught}/#/concepts/my-brolly")
    press(page, page.get_by_role("button", name="Make current: version 2"))
    press(page, page.get_by_role("button", name="Make it current"))
    expect(page.get_by_text("Version 2 is the current one now.")).to_be_visible()


@pytest.mark.parametrize("version", [1, 2])
def test_each_file_for_another_program_holds_the_rows_of_its_version(
    taught: str, open_page: OpenPage, tmp_path: Path, version: int
) -> None:
    page = open_page(f"{taught}/#/concepts/my-brolly?version={version}")
    row = page.get_by_role("listitem")
    rows = []
    for label, file in FORMATS.items():
        expect(row.filter(has=page.get_by_role("button", name=f"Download: {label}"))).to_contain_text(label)
        with page.expect_download() as download:
            press(page, page.get_by_role("button", name=f"Download: {label}", exact=True))
        expected = file if version == 2 else file.replace("my-brolly", "my-brolly@1")
        assert download.value.suggested_filename == expected
        download.value.save_as(tmp_path / expected)
        rows.append(import_embedding(tmp_path / expected).rows["text_encoder"])
    assert {tuple(one.shape) for one in rows} == {(3 if version == 1 else 2, rows[0].shape[1])}
    assert all((one == rows[0]).all() for one in rows)
