"""Training pictures before anything is sent: dropped, pasted, and shown as they will be trained."""

import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import FilePayload, Page, expect

from tests.browser.conftest import OpenPage, ready_to_teach
from tests.services.job_tools import photo

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
GIVE = """([data, event, holder]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(data), (byte) => byte.charCodeAt(0));
    transfer.items.add(new File([bytes], `${event}ed.png`, { type: "image/png" }));
    const options = { bubbles: true, cancelable: true, [holder]: transfer };
    const made = event === "drop" ? new DragEvent(event, options) : new ClipboardEvent(event, options);
    document.getElementById("pictures").parentElement.dispatchEvent(made);
}"""
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


def test_pictures_are_dropped_and_pasted(service: str, open_page: OpenPage) -> None:
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    page.evaluate(GIVE, [base64.b64encode(photo(1)).decode(), "drop", "dataTransfer"])
    expect(chosen).to_have_count(1)
    page.evaluate(GIVE, [base64.b64encode(photo(2)).decode(), "paste", "clipboardData"])
    expect(chosen).to_have_count(2)
    expect(chosen.nth(1)).to_contain_text("96 x 80, cropped to its middle, trained at 64 px")
    page.get_by_role("button", name="Remove droped.png").click()
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
