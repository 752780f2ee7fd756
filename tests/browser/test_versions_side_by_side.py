"""A concept's versions beside each other: their pictures, and why one did not become current."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import expect

from tests.browser.accessibility import violations
from tests.browser.conftest import OpenPage, shot
from textinv.embedding import Embedding
from textinv.images.strip import make_strip
from textinv.models.base import BaseModel
from textinv.registry import Registry
from textinv.registry.layout import PINNED_FILE
from textinv.store.memory import MemoryStore

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
PINNED = {"pinned": {"prompts": ["a photo of {}", "{} on a beach"], "seed": 0, "num_inference_steps": 10}}
REASON = "likeness fell from 0.60 to 0.40 by emoji/clip: more than its noise"


def publish(
    store: MemoryStore, model: BaseModel, name: str, number: int, colour: tuple[int, int, int], held: str | None
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (64, 64), colour).save(picture, "PNG")
    Registry(store).publish(
        name,
        Embedding({"text_encoder": torch.full((1, model.encoder_widths["text_encoder"]), float(number))}),
        PINNED
        | ({"spec": {"kind": "object"}, "gate": {"mode": "on", "reasons": [held], "held": held}} if held else {}),
        fingerprint=f"{name}-{number}",
        base_model=model.id,
        base_revision=model.revision,
        files={
            "preview.png": picture.getvalue(),
            PINNED_FILE: make_strip([np.full((64, 64, 3), colour, np.uint8)] * 2),
        },
    )


@pytest.mark.parametrize("width", [1400, 400])
def test_versions_are_seen_side_by_side_and_one_that_is_held_back_says_why_and_can_be_made_current(
    service: str, store: MemoryStore, model: BaseModel, open_page: OpenPage, width: int
) -> None:
    name = f"cup-{width}"  # numbers of versions are not given again
    publish(store, model, name, 1, (200, 30, 30), None)
    publish(store, model, name, 2, (30, 30, 200), REASON)
    page = open_page(f"{service}/#/concepts/{name}", width)
    for number in (1, 2):
        picture = page.get_by_role("img", name=f"Picture of version {number}")
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.naturalWidth") == 64
        pinned = page.get_by_role(
            "img", name=f"Version {number} drawn from one seed: a photo of {name}; {name} on a beach"
        )
        expect(pinned).to_be_visible()
        assert pinned.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [128, 64]
    expect(page.get_by_text(f"Held back: {REASON}.")).to_be_visible()
    assert violations(page) == []
    shot(page, f"held-back-{width}")
    page.get_by_role("button", name="Make current: version 2").click()
    page.get_by_role("button", name="Make it current").click()
    expect(page.get_by_role("status").filter(has_text="Version 2 is the current one now.")).to_be_visible()
    expect(page.get_by_text("Held back:")).to_have_count(0)
    Registry(store).remove(name)
