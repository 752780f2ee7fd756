"""What a plan keeps of pictures that are not square depends on the base model; the demo base keeps squares."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from textinv.demo import WEIGHTS
from textinv.models import load_base_model, look_up
from textinv.plan import Plan
from textinv.plan.resolve import BaseFacts

Write = Callable[..., Path]
Planned = Callable[..., Plan]
PORTRAITS = "  - {name: fox, images: tall}\n"


@pytest.fixture
def portraits(tmp_path: Path) -> Path:
    folder = tmp_path / "tall"
    folder.mkdir()
    rng = np.random.default_rng(3)
    for index in range(3):
        pixels = rng.integers(0, 255, (960, 560, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def test_a_base_with_shapes_learns_portraits_as_portraits_without_a_warning(
    write: Write, portraits: Path, planned: Planned
) -> None:
    own = planned(write(PORTRAITS), base=BaseFacts("base", 512, learns_shapes=True))
    assert own.specs[0].spec.crop == "fit"
    assert not own.warnings
    square = planned(write(PORTRAITS), base=BaseFacts("base", 512))
    assert square.specs[0].spec.crop == "center"
    assert any("trained as squares" in warning.message for warning in square.warnings)
    stated = planned(
        write("  - {name: fox, images: tall, crop: center}\n"), base=BaseFacts("base", 512, learns_shapes=True)
    )
    assert stated.specs[0].spec.fingerprint == square.specs[0].spec.fingerprint


def test_the_demo_base_keeps_squares() -> None:
    assert not look_up(str(WEIGHTS)).learns_shapes
    assert not load_base_model(str(WEIGHTS), device="cpu").learns_shapes
