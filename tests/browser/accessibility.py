"""Whether a page keeps anybody out: what axe-core finds, and moving about with the keyboard alone."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page

_AXE = Path(__file__).parents[1] / "data" / "axe" / "axe.min.js"
_MAX_STOPS = 80


def violations(page: Page) -> list[str]:
    """What axe-core finds that is serious or critical."""
    page.evaluate(_AXE.read_text())
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((result) => result.violations)")
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary')}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until `target` has the focus, and check that it can be seen there."""
    for _ in range(_MAX_STOPS):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            ring = target.evaluate("element => getComputedStyle(element).outlineStyle")
            assert ring != "none", "the focus cannot be seen"
            return
    raise AssertionError(f"{_MAX_STOPS} presses of Tab do not lead to {target}")


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to `target` and press a key there."""
    tab_to(page, target)
    page.keyboard.press(key)
