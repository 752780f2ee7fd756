"""A real Chromium, and the page of a service in this process; the whole way has a real one."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.browser.in_process import publish, running
from textinv.models import load_base_model
from textinv.models.base import BaseModel
from textinv.store.memory import MemoryStore

SHOTS = Path(__file__).parents[2] / "build" / "browser"
OpenPage = Callable[..., Page]
DROP_BOX = "Drop them here, paste them, or choose files."
PASTE = """(data) => {
    const bytes = Uint8Array.from(atob(data), (byte) => byte.charCodeAt(0));
    const clipboardData = new DataTransfer();
    clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
    document.activeElement.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, clipboardData }));
}"""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("these tests need Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[OpenPage]:
    """Opens an address; at the end, nothing may have gone wrong in any of the pages that a test has not expected."""
    contexts, wrong = [], []

    def noted(message: ConsoleMessage) -> None:
        refused = "Failed to load resource" in message.text  # an answer of 4xx, which the page shows
        if message.type == "error" and not refused:
            wrong.append(message.text)

    def open_at(url: str, width: int = 1400, scheme: Any = "light", **options: Any) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", noted)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(url)
        return page

    yield open_at
    for context in contexts:
        context.close()
    assert wrong == []


def shot(page: Page, name: str, whole: bool = True) -> None:
    """Keep how a page looks, for whoever wants to see it."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate("window.scrollTo(0, 0)")  # the bar at the top stays in view, also in a picture of the whole page
    page.screenshot(path=SHOTS / f"{name}.png", full_page=whole)


def drop(page: Page, target: Locator, *files: Path) -> None:
    """Drag files from the desktop and let them go over the middle of `target`."""
    target.scroll_into_view_if_needed()
    box = target.bounding_box()
    assert box is not None
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    devtools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        devtools.send("Input.dispatchDragEvent", {"type": kind, **place, "data": data})


def paste(page: Page, file: Path) -> None:
    """Paste a picture where the focus is, as when another program copied it."""
    page.evaluate(PASTE, base64.b64encode(file.read_bytes()).decode())


def ready_to_teach(page: Page) -> Page:
    """Wait until Teach knows the native size that pictures are judged by."""
    expect(page.get_by_label("Pictures", exact=True)).to_be_enabled()
    return page


@pytest.fixture(scope="session")
def model() -> BaseModel:
    torch.set_num_threads(1)
    return load_base_model("emoji", device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(scope="module")
def service(store: MemoryStore, model: BaseModel) -> Iterator[str]:
    """A service on the demo base with three concepts, whose fleet never works; its URL."""
    for name, word, kind in (
        ("my-fox", "fox", "object"),
        ("my-owl", "owl", "object"),
        ("my-sketch", "sketch", "style"),
    ):
        publish(store, model, name, word, kind)
    publish(store, model, "my-fox", "crab", "object")
    with running(store, model) as url:
        yield url
