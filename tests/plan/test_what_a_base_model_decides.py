"""What a plan keeps of pictures that are not square depends on the base model; the demo base keeps squares."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from textinv.demo import WEIGHTS
from textinv.errors import ManifestError
from textinv.models import load_base_model, look_up
from textinv.models.families import known_families
from textinv.models.latent_diffusion import LatentDiffusionModel
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


def test_a_familys_published_recipe_is_its_default_and_a_plan_says_that_it_was_not_measured(
    write: Write, portraits: Path, planned: Planned
) -> None:
    (sdxl,) = (family for family in known_families() if family.family == "sdxl")
    base = BaseFacts("base", 1024, learns_shapes=True, recipe=sdxl.recipe_at(1024))
    own = planned(write(PORTRAITS), base=base)
    spec = own.specs[0].spec
    assert (spec.recipe, spec.resolution_px, spec.max_steps, spec.samples_per_step) == ("published", 768, 400, 4)
    assert (spec.optimizer.kind, spec.optimizer.learning_rate, spec.optimizer.kappa) == ("sphere", 0.04, 1e-4)
    assert "not measured here: Kim et al." in own.notes[0]
    chosen = planned(write("  - {name: fox, images: tall, recipe: balanced}\n"), base=base)
    assert (chosen.specs[0].spec.recipe, chosen.notes) == ("balanced", [])
    with pytest.raises(ManifestError, match="nothing is published for this base model"):
        planned(write("  - {name: fox, images: tall, recipe: published}\n"), base=BaseFacts("demo", 64))


PUBLISHED = [family for family in known_families() if family.published]


@pytest.mark.parametrize("family", PUBLISHED, ids=lambda family: family.family)
def test_every_published_recipe_is_complete_and_says_where_it_is_from(
    family: type[LatentDiffusionModel], write: Write, portraits: Path, planned: Planned
) -> None:
    published = family.recipe_at(512)
    assert published["source"]
    spec = planned(write(PORTRAITS), base=BaseFacts("base", 512, recipe=published)).specs[0].spec
    assert spec.recipe == "published"
    assert family.recipe_at(64) == {}, "a small base model is not what was measured there"
    if spec.stop.rule == "dvar":
        assert spec.stop.window * spec.stop.every_steps == 310
