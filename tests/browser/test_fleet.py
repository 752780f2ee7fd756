"""What operators see of the machines that learn."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from playwright.sync_api import expect

from cluster.nodes import NodeFacts
from services.training_fleet import DriverFacts
from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, shot
from tests.browser.in_process import running
from tests.services.job_tools import FLEET, IdleFleet
from textinv.jobs.fleet import status_key
from textinv.models.base import BaseModel
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
ON_CPU = NodeFacts("5e" * 28, "10.0.0.8", 4.0, 0.0)
ON_GPU = NodeFacts("7a" * 28, "10.0.0.7", 16.0, 2.0, "L4", 48 * 2**30, 12 * 2**30)
UNKNOWN = NodeFacts("9c" * 28, "10.0.0.9", 16.0, 1.0)


class DrivenFleet(IdleFleet):
    """A fleet whose driver runs."""

    def driver(self) -> DriverFacts:
        return DriverFacts("running")


@pytest.fixture
def seen() -> MemoryStore:
    """What the driver sees is written here."""
    return MemoryStore()


@pytest.fixture
def driven(seen: MemoryStore, model: BaseModel) -> Iterator[str]:
    with running(seen, model, DrivenFleet()) as url:
        yield url


def see(store: MemoryStore, *nodes: NodeFacts) -> None:
    store.put(status_key(FLEET), json.dumps({"nodes": [asdict(one) for one in nodes]}).encode())


@pytest.mark.parametrize("width", [1400, 400])
def test_gpus_are_told_by_node_with_what_is_known_of_them(
    driven: str, seen: MemoryStore, open_page: OpenPage, width: int
) -> None:
    see(seen, ON_GPU, ON_CPU, UNKNOWN)
    page = open_page(f"{driven}/#/fleet", width)
    now = page.locator("section", has=page.get_by_role("heading", name="Now"))
    for words in ("36CPUson 3 nodes", "3GPUsL4, unknown type"):
        expect(now.get_by_role("listitem").filter(has_text=words)).to_have_count(1)
    rows = page.get_by_role("region", name="Nodes").get_by_role("row")
    for row, words in enumerate(("2 × L412.0 GiB of 48.0 GiB used", "no GPU–", "1 × unknown typenot known"), start=1):
        expect(rows.nth(row)).to_contain_text(words)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"fleet-gpus-{width}")


def test_a_fleet_without_gpus_says_so(driven: str, seen: MemoryStore, open_page: OpenPage) -> None:
    see(seen, ON_CPU)
    page = open_page(f"{driven}/#/fleet")
    told = page.get_by_role("listitem").filter(has_text="concepts are learned on CPUs")
    expect(told.get_by_text("no GPU", exact=True)).to_be_visible()
    shot(page, "fleet-no-gpu-1400")
    see(seen)
    expect(page.get_by_text("known while a driver runs")).to_be_visible()  # the view looks again by itself
