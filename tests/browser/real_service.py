"""A service as a person starts it, with its own Ray and store, and teaching it from the page by keyboard alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.accessibility import press, tab_to
from tests.browser.conftest import ready_to_teach, shot
from tests.services.served import served
from tests.services.test_teaching_on_ray import end_fleet
from textinv.settings import Settings, StoreSettings

LEARNED_MS = 240_000
DRAWN_MS = 60_000


@contextmanager
def started(store: StoreSettings, home: Path) -> Iterator[str]:
    """A service with nothing in its store; its URL."""
    settings = Settings(home=home, store=store.model_copy(update={"prefix": home.name}))
    try:
        with served(settings) as url:
            yield url
    finally:
        end_fleet(settings)


def pictures_of(name: str) -> Sequence[Path]:
    """Three training pictures."""
    return sorted((Path(__file__).parents[2] / "manifests" / "pictures" / name).glob("*.png"))[:3]


def shots(page: Page, name: str) -> None:
    """Keep how a page looks, wide and narrow."""
    for width in (400, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        shot(page, f"{name}-{width}")


def choose(page: Page, *files: Path) -> None:
    """Choose training pictures."""
    with page.expect_file_chooser() as chooser:
        press(page, ready_to_teach(page).get_by_label("Pictures", exact=True))
    chooser.value.set_files(files)


def describe(page: Page, name: str, word: str = "umbrella", style: bool = False) -> None:
    """Fill in the form, for the fastest recipe."""
    tab_to(page, page.get_by_label("Name", exact=True))
    page.keyboard.type(name)
    if style:
        tab_to(page, page.get_by_label("a thing"))
        page.keyboard.press("ArrowDown")
        expect(page.get_by_label("a style")).to_be_checked()
    tab_to(page, page.get_by_label("What kind"))
    page.keyboard.type(word)
    tab_to(page, page.get_by_label("Balanced"))
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_label("Fast")).to_be_checked()
