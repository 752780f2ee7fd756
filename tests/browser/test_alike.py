"""The page calls pictures the same that the service calls the same, and no others."""

import io
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import FilePayload, expect

from tests.browser.conftest import OpenPage, ready_to_teach
from textinv.images.decode import decode_picture
from textinv.images.duplicates import near_duplicates

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
PICTURES = Path(__file__).parents[2] / "manifests" / "pictures"


@pytest.mark.parametrize("name", ["evergreen-tree", "tall-crab", "pencil"])
def test_one_thing_on_other_backgrounds_is_not_twice_the_same(service: str, open_page: OpenPage, name: str) -> None:
    files = [path.read_bytes() for path in sorted((PICTURES / name).glob("*.png"))[:4]]
    again = io.BytesIO()
    Image.open(io.BytesIO(files[0])).convert("RGB").save(again, "JPEG", quality=60)
    files.append(again.getvalue())
    theirs = near_duplicates([decode_picture(file, str(place)) for place, file in enumerate(files)])
    assert theirs == [("0", "4")]
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    payloads = [FilePayload(name=str(place), mimeType="image/png", buffer=file) for place, file in enumerate(files)]
    page.get_by_label("Pictures", exact=True).set_input_files(payloads)
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen).to_have_count(5)
    expect(page.get_by_text("looks the same as")).to_have_count(1)
    expect(chosen.nth(4)).to_contain_text("looks the same as 0")
