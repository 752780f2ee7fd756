"""The manifest reference and the JSON Schema, written from the texts under the fields.

Run `python -m textinv.plan.reference` in a checkout to write both anew; a test fails when they are not current.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from textinv.manifest.fields import Manifest
from textinv.models.families import known_families
from textinv.plan.recipes import RECIPES, Recipe, published_recipe

REFERENCE = "README.md"
SCHEMA = "manifest.schema.json"
_SECTIONS = {
    "Manifest": ("The manifest", "What stands at the top."),
    "ConceptFields": ("A concept", "Each entry under `concepts`. It may also say anything of the next section."),
    "TrainingFields": ("How to learn", "Under `defaults` for all concepts, or in a concept for that one, which wins."),
    "AdvancedFields": ("Advanced", "Under `advanced`, in `defaults` or in a concept. Most people never need these."),
    "ImageEntry": ("A picture with its caption or mask", "An entry of the list `images`."),
}
_EXAMPLE = """\
```yaml
# yaml-language-server: $schema=./manifest.schema.json
base_model: emoji

defaults:
  recipe: balanced

concepts:
  - name: dotty-fox            # prompts call it <dotty-fox>
    images: pictures/dotty-fox # 3 to 5 pictures; a .txt beside one is its caption
    class_word: fox

  - name: blueprint-style
    kind: style
    images:
      - file: pictures/blueprint-style/0.png
        caption: a pineapple in {} style
      - pictures/blueprint-style/[1-3].png
```
"""


def schema() -> dict[str, Any]:
    """The JSON Schema of a manifest."""
    found: dict[str, Any] = _tidy(Manifest.model_json_schema())
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}


def schema_text() -> str:
    """The schema as it is stored."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """The manifest reference as it is stored."""
    return "\n".join(_reference())


def write(folder: Path) -> None:
    """Write both files into a folder."""
    (folder / REFERENCE).write_text(reference_text(), encoding="utf-8")
    (folder / SCHEMA).write_text(schema_text(), encoding="utf-8")


def _reference() -> Iterator[str]:
    yield "<!-- Written by `python -m textinv.plan.reference` from textinv/manifest/fields.py; do not edit. -->"
    yield "# What a manifest may say\n"
    yield "A manifest is a YAML file that names concepts and the pictures to learn them from."
    yield "`textinv validate FILE` lists everything that is wrong with one, by line; `textinv plan FILE` says what"
    yield "it would cost. An unknown field is an error. Editors check fields with `manifest.schema.json`.\n"
    yield _EXAMPLE
    found = schema()
    definitions = {"Manifest": found, **found["$defs"]}
    for name, (title, text) in _SECTIONS.items():
        yield f"## {title}\n\n{text}\n"
        inherited = set(definitions["TrainingFields"]["properties"]) if name == "ConceptFields" else set()
        for field, stated in definitions[name]["properties"].items():
            if field not in inherited:
                yield _entry(field, stated, field in definitions[name].get("required", ()), definitions)
    yield "## Recipes\n"
    yield "What holds where a manifest says nothing. Vectors, steps, method and context term were chosen by what"
    yield "`make bench-train` measures, on the demo base and with concepts that it had never seen.\n"
    yield from _recipes()


def _entry(field: str, stated: Mapping[str, Any], required: bool, definitions: Mapping[str, Any]) -> str:
    form = _form(stated, definitions)
    must = ", required" if required else ""
    text = " ".join(str(stated.get("description", "")).split())
    return f"**`{field}`** ({form}{must}). {text}\n"


def _form(stated: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A field's type in words."""
    if "anyOf" in stated:
        return " or ".join(_form(one, definitions) for one in stated["anyOf"])
    if "enum" in stated:
        return " or ".join(f"`{word}`" for word in stated["enum"])
    if "const" in stated:
        return f"`{stated['const']}`"
    if "$ref" in stated:
        return "a mapping"
    if stated.get("type") == "array":
        inner = _form(stated["items"], definitions)
        return f"a list of {inner}" if " or " not in inner else f"a list ({inner})"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}
    return words[stated["type"]]


def _recipes() -> Iterator[str]:
    yield "| field | " + " | ".join(f"`{name}`" for name in RECIPES) + " |"
    yield "|---|" + "---|" * len(RECIPES)
    for field in fields(Recipe):
        values = [getattr(recipe, field.name) for recipe in RECIPES.values()]
        yield f"| `{field.name}` | " + " | ".join(_value(value) for value in values) + " |"
    yield ""
    yield "These were measured here, on the demo base. The recipe `published` is the default on base models of 256 px"
    yield "and more whose family has one; it was not measured here, and a plan says so."
    yield ""
    families = [family for family in known_families() if family.published]
    yield "| field | " + " | ".join(f"`{family.family}`" for family in families) + " |"
    yield "|---|" + "---|" * len(families)
    recipes = [published_recipe(family.published) for family in families]
    for field in fields(Recipe):
        yield f"| `{field.name}` | " + " | ".join(_value(getattr(one, field.name)) for one in recipes) + " |"
    yield ""
    yield from (f"- `{family.family}`: {family.published['source']}." for family in families)
    yield ""
    yield "Where a request does not say how to draw:"
    yield ""
    yield "| family | guidance | steps | noise scheduler |"
    yield "|---|---|---|---|"
    for family in known_families():
        draws = family.draws
        yield f"| `{family.family}` | {draws.guidance_scale} | {draws.num_inference_steps} | the folder's |"
    yield ""


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return f"{list(value)}" if isinstance(value, tuple) else f"{value}"


def _tidy(node: Any) -> Any:
    """Drop what only says that a field may be left out, and titles that repeat names."""
    if isinstance(node, list):
        return [_tidy(item) for item in node if item != {"type": "null"}]
    if not isinstance(node, dict):
        return node
    tidied = {key: _tidy(value) for key, value in node.items() if not _says_nothing(key, value)}
    if isinstance(tidied.get("description"), str):
        tidied["description"] = " ".join(tidied["description"].split())
    alternatives = tidied.get("anyOf")
    if isinstance(alternatives, list) and len(alternatives) == 1:
        del tidied["anyOf"]
        tidied = {**alternatives[0], **tidied}
    return tidied


def _says_nothing(key: str, value: Any) -> bool:
    return (key == "default" and value is None) or (key == "title" and isinstance(value, str))


if __name__ == "__main__":
    write(Path("manifests"))
