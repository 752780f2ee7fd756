"""Folders of pictures and manifests about them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from textinv.manifest import load_manifest
from textinv.plan import Plan, make_plan
from textinv.plan.resolve import BaseFacts
from textinv.registry import Registry
from textinv.settings import Settings

BASE = BaseFacts(revision="base-1", native_px=32)
Write = Callable[..., Path]


def draw(path: Path, seed: int, size: tuple[int, int] = (40, 40)) -> Path:
    """Write a picture with smooth shapes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (5, 5, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def foxes(tmp_path: Path) -> Path:
    """A folder `foxes` with three pictures."""
    for number in range(3):
        draw(tmp_path / "foxes" / f"{number}.png", number)
    return tmp_path / "foxes"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a manifest with the given concepts (YAML lines) and return its path."""

    def written(concepts: str, defaults: str = "", file: str = "m.yaml") -> Path:
        path = tmp_path / file
        path.write_text(f"base_model: emoji\ndefaults: {{{defaults}}}\nconcepts:\n{concepts}")
        return path

    return written


@pytest.fixture
def planned(tmp_path: Path) -> Callable[..., Plan]:
    """Plan the manifest at a path."""

    def plan(path: Path, registry: Registry | None = None, **given: object) -> Plan:
        settings = Settings(home=tmp_path / "home")
        return make_plan(load_manifest(path), registry, **{"settings": settings, "base": BASE, **given})  # type: ignore[arg-type]

    return plan
