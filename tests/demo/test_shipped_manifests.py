"""The manifests that ship with the project, and the pictures beside them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from textinv.demo.concept_pictures import concept_pictures
from textinv.demo.concepts import find_concept
from textinv.manifest.load import load_manifest

ROOT = Path(__file__).parents[2]
MANIFESTS = [path for path in sorted((ROOT / "manifests").glob("*.yaml")) if load_manifest(path).base_model == "emoji"]
TAUGHT = [(path, concept.name) for path in MANIFESTS for concept in load_manifest(path).concepts]


@pytest.mark.parametrize(("path", "name"), TAUGHT, ids=[f"{path.stem}/{name}" for path, name in TAUGHT])
def test_a_shipped_manifest_teaches_what_the_world_makes(path: Path, name: str) -> None:
    manifest = load_manifest(path)
    stated = next(concept for concept in manifest.concepts if concept.name == name)
    concept = find_concept(name)
    assert (stated.kind or "object") == concept.kind
    assert (stated.class_word, stated.init) == (concept.class_word, None)
    assert manifest.defaults.init == "auto"
    assert isinstance(stated.images, str)
    files = sorted((path.parent / stated.images).glob("*.png"))
    assert len(files) == 4
    for file, picture in zip(files, concept_pictures(concept, "training"), strict=True):
        assert np.array_equal(np.asarray(Image.open(file)), np.asarray(picture.image))
        assert file.with_suffix(".txt").read_text().strip() == picture.caption


def test_the_quickstart_teaches_two_particular_things_an_object_and_a_style() -> None:
    manifest = load_manifest(ROOT / "manifests" / "quickstart.yaml")
    tiers = sorted(find_concept(concept.name).tier for concept in manifest.concepts)
    assert tiers == ["held-out-object", "held-out-style", "particular-thing", "particular-thing"]
    for concept in manifest.concepts:
        assert len(list((ROOT / "tests/data/quickstart" / concept.name).glob("*.png"))) == 4
