"""What operators see of the machines that learn."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
from playwright.sync_api import expect

from cluster.driver.nodes import NodeFacts
from cluster.queue.messages import WorkerCard
from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, shot
from tests.browser.in_process import running, submit
from tests.services.job_tools import FLEET, IdleFleet, report
from textinv.jobs import Failure, JobStore
from textinv.jobs.fleet import StoredFleet, status_key
from textinv.jobs.fleet_driver import DriverFacts
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


def see(store: MemoryStore, *nodes: NodeFacts, **facts: Any) -> None:
    """Write, as a driver does, what there is."""
    store.put(status_key(FLEET), json.dumps({"nodes": [asdict(one) for one in nodes], **facts}).encode())


def working(*names: str) -> list[dict[str, Any]]:
    """Workers of one crew that learn these concepts, one each."""
    cards = [WorkerCard(f"w-{seat}", "crew-1", seat, ON_GPU.node, 4000 + seat) for seat in range(len(names))]
    return [{**asdict(card), "concepts": [name], "silent_s": 0.4} for card, name in zip(cards, names, strict=True)]


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


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "light"), (1400, "dark"), (400, "dark")])
def test_workers_are_shown_with_what_they_learn_and_how_fast(
    driven: str, seen: MemoryStore, open_page: OpenPage, width: int, scheme: str
) -> None:
    job = submit(driven, seen, "young-fox", "young-owl", job="young ones")
    status = report(seen, job, step=40)
    JobStore(seen).write_status(status.model_copy(update={"concepts_per_hour": 128.0}))
    facts = {"leased": 2, "waiting": 1, "jobs": [job.id], "crews": [{"name": "crew-1", "workers": 2}]}
    see(seen, ON_GPU, workers=working("young-fox", "young-owl"), **facts)
    page = open_page(f"{driven}/#/fleet", width, scheme)
    expect(page.get_by_role("heading", name="2 workers in 1 crew")).to_be_visible()
    rows = page.get_by_role("region", name="Workers").get_by_role("row")
    expect(rows).to_have_count(3)
    expect(rows.nth(2)).to_contain_text("crew-1")
    expect(rows.nth(2)).to_contain_text("young-owl")
    now = page.locator("section", has=page.get_by_role("heading", name="Now"))
    for words in ("2workersof 1 allowed", "2learning", "1waiting", "128per hour"):
        expect(now.get_by_role("listitem").filter(has_text=words)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(page) == []
    shot(page, f"fleet-working-{width}-{scheme}")


def test_a_fleet_is_scaled_and_drained(driven: str, seen: MemoryStore, open_page: OpenPage) -> None:
    see(seen, ON_GPU)
    page = open_page(f"{driven}/#/fleet")
    page.get_by_label("At least").fill("2")
    page.get_by_label("At most").fill("5")
    page.get_by_role("button", name="Scale").click()
    expect(page.get_by_text("At most 5 workers, at least 2.")).to_be_visible()
    expect(page.get_by_text("of 5 allowed")).to_be_visible()
    fleet = StoredFleet(seen, FLEET)
    held = fleet.settings()
    assert (held.min_workers, held.max_workers, held.draining) == (2, 5, False)

    page.get_by_role("button", name="Drain").click()
    expect(page.get_by_text("draining", exact=True)).to_be_visible()
    expect(page.get_by_text("Workers save checkpoints, hand back their concepts and stop.")).to_be_visible()
    expect(page.get_by_text("jobs wait until you scale the fleet")).to_be_visible()
    expect(page.get_by_role("button", name="Drain")).to_be_disabled()
    expect(page.get_by_role("alert")).to_have_count(0)
    assert fleet.settings().draining
    shot(page, "fleet-draining-1400")
    page.get_by_label("At most").fill("1")
    page.get_by_role("button", name="Scale").click()
    expect(page.get_by_role("alert")).to_contain_text("raise max or lower min")
    assert fleet.settings() == held.model_copy(update={"draining": True})
    page.get_by_label("At most").fill("3")
    page.get_by_role("button", name="Scale").click()
    expect(page.get_by_text("of 3 allowed")).to_be_visible()
    expect(page.get_by_text("draining", exact=True)).to_have_count(0)
    expect(page.get_by_role("alert")).to_have_count(0)
    assert not fleet.settings().draining


def test_failures_say_what_to_do_and_links_lead_to_the_dashboards(
    seen: MemoryStore, model: BaseModel, open_page: OpenPage
) -> None:
    message, prints = "not even one slot fits: 7.2 GiB are needed, 6 are free", "f" * 64
    JobStore(seen).write_failure(
        "a-job", Failure(fingerprint=prints, name="big-fox", code="out_of_memory", message=message)
    )
    links = {"Ray's dashboard": "http://ray.example:8265", "Grafana": "https://grafana.example/d/textinv"}
    urls = {"ray_dashboard_url": links["Ray's dashboard"], "grafana_url": links["Grafana"]}
    with running(seen, model, DrivenFleet(), **urls) as url:
        page = open_page(f"{url}/#/fleet")
        failed = page.locator("section", has=page.get_by_role("heading", name="Recent failures")).get_by_role(
            "listitem"
        )
        expect(failed).to_have_count(1)
        for words in ("big-fox", message, "Use a smaller resolution_px or fewer samples_per_step"):
            expect(failed).to_contain_text(words)
        for label, address in links.items():
            expect(page.get_by_role("link", name=label)).to_have_attribute("href", address)
        shot(page, "fleet-failures-1400")
