"""What people wrote stays text, wherever it is shown; and if it did not, the page's policy would stop it."""

import json
from pathlib import Path

import httpx
import numpy as np
import pytest
import safetensors.torch
from playwright.sync_api import Browser, FilePayload, Page, expect

from tests.browser.conftest import OpenPage, ready_to_teach
from tests.browser.in_process import HOSTILE
from tests.services.job_tools import photo, report
from textinv.embedding import import_embedding
from textinv.generation.infotext import Infotext, write_infotext, write_png
from textinv.jobs import JobStore
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
MARKUP = "<img src=x onerror=\"document.title='taken over'\">"
SETTINGS = {"Steps": "4", "Sampler": "Euler a", "CFG scale": "3", "Seed": "5"}


def stayed_text(page: Page) -> None:
    """Check that nothing of what was shown became an element."""
    assert page.locator("main [onerror], main script, main iframe").count() == 0
    assert "taken over" not in page.title()


def test_a_job_and_how_it_failed(service: str, store: MemoryStore, open_page: OpenPage) -> None:
    ids = [httpx.post(f"{service}/v1/images", content=photo(seed)).json()["id"] for seed in (1, 2)]
    images = [{"file": one, "caption": f"{MARKUP} of {{}}"} for one in ids]
    concept = {"name": "sly-fox", "images": images, "class_word": "fox", "init": "red fox"}
    job = {"base_model": "emoji", "name": HOSTILE, "concepts": [concept]}
    submitted = httpx.post(f"{service}/v1/jobs", json=job, timeout=30).json()
    record = JobStore(store).load(submitted["id"])
    report(store, record, concept_state="failed", problem=f"training_failed: {HOSTILE}")
    page = open_page(f"{service}/#/jobs")
    expect(page.get_by_role("main")).to_contain_text(HOSTILE)
    stayed_text(page)
    page.get_by_role("link", name="<script>").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(HOSTILE)
    expect(page.get_by_role("article")).to_contain_text(HOSTILE)
    stayed_text(page)


def test_an_embedding_of_another_program(
    service: str, store: MemoryStore, model: BaseModel, open_page: OpenPage, tmp_path: Path
) -> None:
    file = tmp_path / f"{MARKUP}.safetensors"
    row = model.token_rows("text_encoder", "fox").float().cpu()[:1].contiguous()
    safetensors.torch.save_file({"emb_params": row}, file, {"name": HOSTILE, "sd_checkpoint_name": HOSTILE})
    Registry(store).publish(
        "foreign-fox",
        import_embedding(file),
        {"imported_from": file.name, "spec": {"class_word": HOSTILE, "kind": HOSTILE}, "stopped": HOSTILE},
        fingerprint="foreign",
        base_model=model.id,
        base_revision=model.revision,
    )
    page = open_page(f"{service}/#/concepts/foreign-fox")
    page.get_by_text("Training record").click()
    expect(page.locator("pre")).to_contain_text(json.dumps(file.name))
    expect(page.get_by_text(f"a kind of {HOSTILE}")).to_be_visible()
    stayed_text(page)


def test_the_settings_of_a_picture(service: str, open_page: OpenPage) -> None:
    page = open_page(f"{service}/#/try")
    blank = np.zeros((8, 8, 3), dtype=np.uint8)

    def choose(**settings: str) -> None:
        text = write_infotext(Infotext(HOSTILE, HOSTILE, {**SETTINGS, **settings}))
        file = FilePayload(name=f"{MARKUP}.png", mimeType="image/png", buffer=write_png(blank, text))
        page.get_by_label("Settings from a picture").set_input_files(file)

    choose(Sampler=MARKUP)
    expect(page.get_by_role("alert")).to_contain_text("there is no noise scheduler '<img src=x onerror=")
    stayed_text(page)
    choose()
    expect(page.get_by_text(f"Settings of {MARKUP}.png are in the form now.")).to_be_visible()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(HOSTILE)
    expect(page.get_by_label("Negative prompt")).to_have_value(HOSTILE)
    expect(page.get_by_label("Noise scheduler").locator("option:checked")).to_have_text("Euler a")
    page.get_by_role("button", name="Draw", exact=True).click()
    expect(page.get_by_role("article", name=HOSTILE)).to_contain_text(HOSTILE)
    expect(page.get_by_role("alert")).to_contain_text("is not a concept")
    stayed_text(page)


def test_the_names_of_files(service: str, open_page: OpenPage) -> None:
    page = ready_to_teach(open_page(f"{service}/#/teach"))
    good = FilePayload(name=f"{MARKUP}.png", mimeType="image/png", buffer=photo(1))
    bad = FilePayload(name=f"{MARKUP}.svg", mimeType="image/svg+xml", buffer=HOSTILE.encode())
    page.get_by_label("Pictures", exact=True).set_input_files([good, bad])
    chosen = page.get_by_role("list", name="Chosen pictures").get_by_role("listitem")
    expect(chosen.nth(0)).to_contain_text(f"{MARKUP}.png")
    expect(chosen.nth(1)).to_contain_text("not a picture")
    stayed_text(page)


@pytest.mark.parametrize("address", ["concepts/%", "jobs/%3Cimg src=x onerror=alert(1)%3E", "concepts/../fleet?x=%zz"])
def test_addresses_that_nobody_linked_to(service: str, open_page: OpenPage, address: str) -> None:
    page = open_page(f"{service}/#/{address}")
    expect(page.get_by_role("alert")).to_be_visible()
    stayed_text(page)


def test_markup_that_came_into_the_page_could_do_nothing(service: str, chromium: Browser) -> None:
    page = chromium.new_page()
    page.goto(f"{service}/#/try")
    refused = page.evaluate(
        """(markup) => new Promise((resolve) => {
            const refused = new Set();
            document.addEventListener("securitypolicyviolation", (event) => {
                refused.add(event.effectiveDirective);
                if (refused.size === 6) resolve([...refused].sort());
            });
            document.body.insertAdjacentHTML("beforeend", markup);
            const script = document.createElement("script");
            script.textContent = "document.title = 'taken over'";
            document.body.append(script);
            new Image().src = "https://elsewhere.invalid/picture.png";
            fetch("https://elsewhere.invalid/").catch(() => {});
            const frame = document.createElement("iframe");
            frame.src = "https://elsewhere.invalid/";
            const style = document.createElement("style");
            style.textContent = "body { display: none }";
            document.body.append(frame, style);
        })""",
        HOSTILE,
    )
    assert refused == ["connect-src", "frame-src", "img-src", "script-src-attr", "script-src-elem", "style-src-elem"]
    assert "taken over" not in page.title()
    page.close()
