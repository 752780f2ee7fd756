"""The manifest reference and the JSON Schema say what the code says."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from textinv.errors import ManifestError
from textinv.manifest import load_manifest, parse_manifest
from textinv.plan.reference import REFERENCE, SCHEMA, reference_text, schema, schema_text

MANIFESTS = Path(__file__).resolve().parents[2] / "manifests"
REMEDY = "run `python -m textinv.plan.reference`"


def test_the_stored_reference_and_schema_are_current() -> None:
    assert (MANIFESTS / REFERENCE).read_text() == reference_text(), REMEDY
    assert (MANIFESTS / SCHEMA).read_text() == schema_text(), REMEDY


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    found = schema()
    for name, definition in [("Manifest", found), *found["$defs"].items()]:
        for field, stated in definition["properties"].items():
            yield f"{name}.{field}", stated


@pytest.mark.parametrize(("field", "stated"), fields(), ids=[field for field, _ in fields()])
def test_every_field_is_explained_and_its_bounds_are_named(field: str, stated: dict[str, Any]) -> None:
    text = stated["description"]
    assert text.endswith("."), field
    assert "  " not in text
    for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        value = stated.get(bound)
        if value is not None and value < 1e12:
            assert f"{value:g}" in text, f"{field}: {bound} {value} is not in its text"


@pytest.mark.parametrize("section", ["TrainingFields", "AdvancedFields"])
def test_every_field_about_learning_says_what_it_costs(section: str) -> None:
    stated = schema()["$defs"][section]["properties"]
    assert [field for field in stated if "cost" not in stated[field]["description"].lower()] in ([], ["advanced"])


def test_the_shipped_manifests_are_read() -> None:
    paths = list(MANIFESTS.glob("*.yaml"))
    assert paths
    for path in paths:
        assert load_manifest(path).concepts


def test_the_example_of_the_reference_is_a_manifest_about_pictures_that_are_there() -> None:
    example = reference_text().split("```yaml\n")[1].split("```")[0]
    manifest = parse_manifest(example)
    assert [concept.name for concept in manifest.concepts] == ["dotty-fox", "blueprint-style"]
    assert (MANIFESTS / "pictures/blueprint-style/0.png").is_file()


def test_the_schema_knows_the_same_fields_as_the_loader() -> None:
    known = set(schema()["$defs"]["ConceptFields"]["properties"])
    for field in ("name", "images", "seed", "advanced", "captions"):
        assert field in known
    assert schema()["$defs"]["ConceptFields"]["additionalProperties"] is False
    stated = {"base_model": "emoji", "concepts": [{"name": "fox", "images": "a", "sede": 1}]}
    with pytest.raises(ManifestError, match="did you mean 'seed'"):
        parse_manifest(yaml.safe_dump(stated))
