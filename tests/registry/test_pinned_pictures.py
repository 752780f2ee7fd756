"""Pinned pictures lie beside a version: told in its entry, read whole, and the first of them shows the version."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from textinv.embedding import Embedding
from textinv.images.strip import cells_of, make_strip
from textinv.registry import PublishedVersion, Registry
from textinv.registry.attachments import load_pinned
from textinv.registry.layout import PINNED_FILE
from textinv.store import MemoryStore

PROMPTS = ["a photo of {}", "{} on a beach"]
COLOURS = [(200, 30, 30), (30, 30, 200)]


def strip_of(*colours: tuple[int, int, int]) -> bytes:
    return make_strip([np.full((32, 32, 3), colour, np.uint8) for colour in colours])


def colour_in(image: Image.Image) -> tuple[int, ...]:
    return tuple(round(float(value) / 10) * 10 for value in np.asarray(image.convert("RGB")).mean((0, 1)))


@pytest.fixture
def registry() -> Registry:
    return Registry(MemoryStore())


@pytest.fixture
def publish(registry: Registry, make_embedding: Callable[[int], Embedding]) -> Callable[..., PublishedVersion]:
    def publish(number: int, record: dict[str, Any], files: dict[str, bytes]) -> PublishedVersion:
        return registry.publish(
            "fox",
            make_embedding(number),
            record,
            fingerprint=f"s{number}",
            base_model="emoji",
            base_revision="r",
            files=files,
        )

    return publish


PINNED = {"pinned": {"prompts": PROMPTS, "seed": 0, "num_inference_steps": 10}}


def test_they_are_told_in_the_list_of_versions_and_read_from_left_to_right(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, PINNED, {PINNED_FILE: strip_of(*COLOURS)})
    publish(2, {}, {})
    assert [one.pinned for one in registry.versions("fox")] == [tuple(PROMPTS), ()]
    strip = load_pinned(registry.store, registry.entry("fox", 1))
    assert strip is not None
    assert [colour_in(cell) for cell in cells_of(strip, 2)] == COLOURS
    assert load_pinned(registry.store, registry.entry("fox", 2)) is None


def test_the_first_of_them_shows_a_version_unless_another_picture_was_drawn_for_that(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, PINNED, {PINNED_FILE: strip_of(*COLOURS)})
    found = registry.picture("fox")
    assert found is not None
    assert (colour_in(Image.open(io.BytesIO(found[0]))), found[1]) == (COLOURS[0], "image/jpeg")
    publish(2, PINNED, {PINNED_FILE: strip_of(*COLOURS), "preview.jpg": strip_of((40, 200, 40))})
    found = registry.picture("fox")
    assert found is not None
    assert colour_in(Image.open(io.BytesIO(found[0]))) == (40, 200, 40)


def test_they_go_with_the_other_pictures_when_these_are_deleted_on_purpose(
    registry: Registry, publish: Callable[..., PublishedVersion]
) -> None:
    publish(1, PINNED, {PINNED_FILE: strip_of(*COLOURS)})
    registry.purge_pictures(["s1"])
    assert load_pinned(registry.store, registry.entry("fox", 1)) is None
    assert registry.picture("fox") is None
    assert list(registry.verify()) == []


@pytest.mark.parametrize("said", [None, 3, {"prompts": "a {}"}, {"prompts": [1]}, {"prompts": PROMPTS}])
def test_a_record_that_tells_of_pictures_that_are_not_there_is_not_believed(
    registry: Registry, publish: Callable[..., PublishedVersion], said: object
) -> None:
    publish(1, {"pinned": said}, {})
    assert registry.entry("fox", 1).pinned == ()


def test_what_is_no_picture_shows_nothing(registry: Registry, publish: Callable[..., PublishedVersion]) -> None:
    publish(1, PINNED, {PINNED_FILE: b"<script>"})
    assert registry.picture("fox") is None
