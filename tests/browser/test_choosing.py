"""Training pictures before anything is sent: dropped, pasted, and shown as they will be trained."""

import base64
import io
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from services.page.routes import FILES
from tests.browser.conftest import DROP_BOX, OpenPage, drop, paste, ready_to_teach, shot
from tests.browser.in_process import running
from tests.services.job_tools import photo
from textinv.models.base import BaseModel
from textinv.plan.recipes import INSTANT, RECIPES
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
ORIENTATION, TURNED_LEFT = 0x0112, 6
NEARLY_THE_SAME = 6.0  # of 255, as browsers and Pillow scale with different filters


def turned_photo() -> bytes:
    """A tall picture that lies on its side in the file, as phones write them."""
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED_LEFT
    return photo(3, 150, 100, "JPEG", exif=exif, quality=95)


def shown(page: Page, name: str) -> np.ndarray:
    """What the page shows of a picture that was chosen."""
    source = page.get_by_role("img", name=f"{name}, as it will be trained").get_attribute("src") or ""
    return pixels(base64.b64decode(source.partition(",")[2]))


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.float32)


def test_pictures_wait_until_it_is_known_how_they_are_trained(
    service: str, open_page: OpenPage, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(photo(1))
    page = open_page(f"{service}/#/try")
    page.route("**/v1/models", lambda route: route.abort())
    page.get_by_role("link", name="Teach", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Is the service running?")
    expect(page.get_by_label("Pictures", exact=True)).to_be_disabled()
    paste(page, mine)
    page.unroute("**/v1/models")
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_label("Pictures", exact=True)).to_be_enabled()
    expect(page.get_by_role("alert")).to_have_count(0)
    paste(page, mine)
    expect(page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_text("96 x 80, cropped to its middle, trained at 64 px")).to_be_visible()


def test_what_the_service_would_refuse_is_told_before_it_is_sent(model: BaseModel, open_page: OpenPage) -> None:
    with running(MemoryStore(), model, max_upload_px=10_000, max_body_bytes=40_000) as url:
        page = ready_to_teach(open_page(f"{url}/#/teach"))
        file = io.BytesIO()
        Image.open(io.BytesIO(photo(3))).save(file, "PPM")
        noise = io.BytesIO()
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (99, 99, 4), dtype=np.uint8)).save(noise, "TIFF")
        given = [("image/png", photo(1)), ("image/png", photo(2, 120, 90))]
        given.append(("image/x-portable-pixmap", file.getvalue()))
        payloads = [FilePayload(name="mine", mimeType=kind, buffer=data) for kind, data in given]
        payloads.append(FilePayload(name="huge", mimeType="image/png", buffer=noise.getvalue() + bytes(9_000)))
        page.get_by_label("Pictures", exact=True).set_input_files(payloads)
        chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
        expect(chosen).to_have_count(4)
        expect(chosen.nth(0)).to_contain_text("trained at 64 px")
        expect(chosen.nth(1)).to_contain_text("0.0108 million pixels; 0.01 million are allowed. Scale it down.")
        expect(chosen.nth(2)).to_contain_text("Save it as PNG, JPEG, WEBP, BMP, TIFF, GIF or AVIF.")
        expect(chosen.nth(3)).to_contain_text("The file is too large")
        expect(page.get_by_text("1 picture: 3 to 5 teach more.")).to_be_visible()
        shot(page, "teach-refused-1400")


def test_files_that_miss_the_drop_box_leave_the_form_as_it_is(
    service: str, open_page: OpenPage, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.png"
    mine.write_bytes(photo(1))
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    page.get_by_label("Name", exact=True).fill("my-hat")
    drop(page, page.get_by_role("heading", name="Teach"), mine)
    drop(page, page.get_by_text(DROP_BOX), mine)
    expect(page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")).to_have_count(1)
    expect(page.get_by_label("Name", exact=True)).to_have_value("my-hat")


def test_what_is_said_of_the_recipes_is_what_they_do() -> None:
    told = {line.split('"')[1]: line for line in FILES["teach.js"].read_text().splitlines() if line.startswith('  ["')}
    assert told.keys() == RECIPES.keys() - {INSTANT}
    for name, recipe in ((name, RECIPES[name]) for name in told):
        assert f"{recipe.num_vectors} vectors, at most {recipe.max_steps} steps" in told[name]


def test_pictures_are_dropped_and_pasted(service: str, open_page: OpenPage, tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    one.write_bytes(photo(1))
    other.write_bytes(photo(2))
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    drop(page, page.get_by_text(DROP_BOX), one)
    expect(chosen).to_have_count(1)
    paste(page, other)
    expect(chosen).to_have_count(2)
    expect(chosen.nth(1)).to_contain_text("96 x 80, cropped to its middle, trained at 64 px")
    page.get_by_role("button", name="Remove one.png").click()
    expect(chosen).to_have_count(1)


@pytest.mark.parametrize("file", [photo(2, 96, 160), turned_photo(), photo(4, 64, 64)], ids=["tall", "turned", "exact"])
def test_a_picture_is_shown_as_the_service_will_train_it(service: str, open_page: OpenPage, file: bytes) -> None:
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    payload = FilePayload(name="mine", mimeType="image/png", buffer=file)
    page.get_by_label("Pictures", exact=True).set_input_files(payload)
    expect(page.get_by_role("button", name="Remove mine")).to_be_visible()
    stored = httpx.post(f"{service}/v1/images", content=file).json()
    trained = pixels(httpx.get(f"{service}{stored['thumbnail']}").content)
    mine = shown(page, "mine")
    assert mine.shape == trained.shape
    assert np.abs(mine - trained).mean() < NEARLY_THE_SAME
    assert np.abs(np.rot90(mine) - trained).mean() > 2 * NEARLY_THE_SAME  # and no other way round
